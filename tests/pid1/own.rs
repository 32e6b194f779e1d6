//! What portcullis alone offers: `stop_signal`, `rewrite`, `stop_before`.
