//! What the freezing process and its watchdog say to each other, over a pair of sockets that keeps messages whole.
//!
//! Never knows: what follows from a message.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

use super::shared::MOST;

/// Sent by the freezing process. Each is answered by a [`Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Comes with the shared page and, if the kernel has such, a descriptor of the freezing process.
    Begin,
    /// Comes with the file systems: thaw them after this time.
    Arm(Duration),
    /// Nothing is frozen any more: let them go.
    Disarm,
}

impl Request {
    fn encode(self) -> [u8; 9] {
        let (kind, nanoseconds) = match self {
            Request::Begin => (0, 0),
            Request::Arm(limit) => (1, limit.as_nanos() as u64),
            Request::Disarm => (2, 0),
        };
        let mut bytes = [kind; 9];
        bytes[1..].copy_from_slice(&nanoseconds.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Request> {
        let (kind, number) = bytes.split_first()?;
        let nanoseconds = u64::from_le_bytes(number.try_into().ok()?);
        match kind {
            0 => Some(Request::Begin),
            1 => Some(Request::Arm(Duration::from_nanos(nanoseconds))),
            2 => Some(Request::Disarm),
            _ => None,
        }
    }
}

/// The watchdog's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The request is carried out.
    Done,
    /// It cannot be, for this reason of the kernel's.
    Refused(Errno),
}

/// Sends a request with descriptors. Allocates nothing.
pub(super) fn ask(socket: impl AsFd, request: Request, files: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(Errno::NFILE);
    }
    let bytes = request.encode();
    rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives a request and appends what came with it to `files`. `None` at the end of all requests, or at one that is
/// not understood.
pub(super) fn hear(socket: impl AsFd, files: &mut Vec<OwnedFd>) -> rustix::io::Result<Option<Request>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 9];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let got =
        rustix::io::retry_on_intr(|| rustix::net::recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC))?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            files.extend(came);
        }
    }
    Ok(bytes.get(..got.bytes).and_then(Request::decode))
}

/// Sends a reply.
pub(super) fn answer(socket: impl AsFd, reply: Reply) -> rustix::io::Result<()> {
    let number = match reply {
        Reply::Done => 0,
        Reply::Refused(errno) => errno.raw_os_error(),
    };
    rustix::net::send(socket, &number.to_le_bytes(), SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for a reply. Allocates nothing.
///
/// # Errors
/// `TIMEDOUT`; `PIPE` if the other side is gone.
pub(super) fn reply(socket: impl AsFd, patience: Duration) -> rustix::io::Result<Reply> {
    if !wait(&mut [PollFd::new(&socket, PollFlags::IN)], Some(patience))? {
        return Err(Errno::TIMEDOUT);
    }
    let mut bytes = [0; 4];
    let (got, _) = rustix::io::retry_on_intr(|| rustix::net::recv(&socket, &mut bytes, RecvFlags::empty()))?;
    match i32::from_le_bytes(bytes) {
        _ if got != bytes.len() => Err(Errno::PIPE),
        0 => Ok(Reply::Done),
        number => Ok(Reply::Refused(Errno::from_raw_os_error(number))),
    }
}

/// Waits until one is ready; `false` when the time is over.
pub(super) fn wait(files: &mut [PollFd<'_>], patience: Option<Duration>) -> rustix::io::Result<bool> {
    let patience = patience.map(|time| Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    match rustix::event::poll(files, patience.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        // A caller with a limit asks again with what is left of it.
        Err(Errno::INTR) => Ok(false),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_as_bytes() {
        let arm = Request::Arm(Duration::from_nanos(0x0102));
        for (request, bytes) in [
            (Request::Begin, [0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (arm, [1, 2, 1, 0, 0, 0, 0, 0, 0]),
            (Request::Disarm, [2, 0, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(request.encode()[0], bytes[0]);
            assert_eq!(Request::decode(&bytes), Some(request));
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
        assert_eq!(arm.encode(), [1, 2, 1, 0, 0, 0, 0, 0, 0]);
        for bad in [&[][..], &[0], &[3, 0, 0, 0, 0, 0, 0, 0, 0], &[0; 10]] {
            assert_eq!(Request::decode(bad), None);
        }
    }

    #[test]
    fn descriptors_travel() {
        let (ours, theirs) = super::super::socket_pair().expect("sockets");
        let file = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).expect("a file");
        rustix::io::write(&file, b"hello").expect("writes");
        ask(&ours, Request::Begin, &vec![file.as_fd(); MOST]).expect("sends");
        let mut files = Vec::new();
        assert_eq!(hear(&theirs, &mut files), Ok(Some(Request::Begin)));
        assert_eq!(files.len(), MOST);
        assert_eq!(rustix::fs::fstat(&files[MOST - 1]).expect("stat").st_size, 5);
        assert!(ask(&ours, Request::Begin, &vec![file.as_fd(); MOST + 1]).is_err());

        assert_eq!(reply(&ours, Duration::ZERO), Err(Errno::TIMEDOUT));
        answer(&theirs, Reply::Refused(Errno::PERM)).expect("sends");
        assert_eq!(reply(&ours, Duration::MAX), Ok(Reply::Refused(Errno::PERM)));
        drop(theirs);
        assert_eq!(reply(&ours, Duration::MAX), Err(Errno::PIPE));
        assert_eq!(ask(&ours, Request::Disarm, &[]), Err(Errno::PIPE));
    }
}
