//! A real terminal: as PID 1 init leads its session, as with `docker run -t`; else it is a job of a shell.
