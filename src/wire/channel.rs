//! A channel: one end of a SOCK_SEQPACKET pair that carries frames, and descriptors beside them (SCM_RIGHTS).

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, socketpair,
};

use super::frame::Frame;

/// The most descriptors in one message: SCM_MAX_FD of the kernel, see unix(7).
pub const MOST_DESCRIPTORS: usize = 253;

/// One end.
pub struct Channel(OwnedFd);

/// What came instead of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("closed its end")]
    Closed,
    #[error("sent something that is no frame")]
    Malformed,
    #[error("could not be talked to: {0}")]
    System(#[from] Errno),
}

/// A connected pair, close-on-exec: init's end does not block, the role's does.
pub fn pair() -> Result<(Channel, Channel), Errno> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    nix::fcntl::fcntl(&ours, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    Ok((Channel(ours), Channel(theirs)))
}

impl Channel {
    /// The channel behind a descriptor that the role contract placed.
    pub fn from_contract(fd: OwnedFd) -> Self {
        Channel(fd)
    }

    pub fn into_fd(self) -> OwnedFd {
        self.0
    }

    pub fn send(&self, frame: Frame, descriptors: &[BorrowedFd<'_>]) -> Result<(), WireError> {
        let bytes = frame.encode();
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &rights[..0] } else { &rights[..] };
        let sent = sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(&bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
        if sent == Frame::SIZE { Ok(()) } else { Err(WireError::Malformed) }
    }

    /// The next frame and what came with it; `None` when init's end would have to wait.
    pub fn receive(&self) -> Result<Option<(Frame, Vec<OwnedFd>)>, WireError> {
        // One byte more than a frame: a longer message is then seen, not cut.
        let mut bytes = [0u8; Frame::SIZE + 1];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let mut control = nix::cmsg_space!([RawFd; MOST_DESCRIPTORS]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let (length, descriptors, cut) = match recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut control), flags)
        {
            Ok(message) => {
                let descriptors = collect(message.cmsgs()?);
                (message.bytes, descriptors, message.flags.intersects(MsgFlags::MSG_CTRUNC | MsgFlags::MSG_TRUNC))
            }
            Err(Errno::EAGAIN) => return Ok(None),
            Err(Errno::ECONNRESET) => return Err(WireError::Closed),
            Err(errno) => return Err(errno.into()),
        };
        if length == 0 {
            return Err(WireError::Closed);
        }
        match Frame::decode(&bytes[..length]) {
            Some(frame) if !cut => Ok(Some((frame, descriptors))),
            _ => Err(WireError::Malformed),
        }
    }
}

fn collect<'a>(messages: impl Iterator<Item = ControlMessageOwned> + 'a) -> Vec<OwnedFd> {
    let rights = messages.filter_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => Some(fds),
        _ => None,
    });
    rights.flatten().map(crate::sys::descriptors::received).collect()
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
