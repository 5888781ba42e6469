//! Requests: what a client asks once the data flows, and what is to be done about it. Pure.
//!
//! Never knows: the volume's bytes, or how replies look.

use super::handshake::Agreed;
use super::wire::*;

/// A request as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) flags: u16,
    pub(super) command: u16,
    /// Chosen by the client, returned in the reply.
    pub(super) cookie: u64,
    /// Bytes.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) length: u32,
}

/// What to do about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Send bytes, in one piece if `whole`. Inside the volume, at most `MAX_PAYLOAD`.
    Read { offset: u64, length: u32, whole: bool },
    /// Say what is a hole; just one run if `one`. Inside the volume, at least a byte.
    Status { offset: u64, length: u32, one: bool },
    /// Nothing to do: say that it is done.
    Acknowledge,
    /// Say no.
    Refuse(NbdError, &'static str),
    /// The client says goodbye: answer what it asked before, and close.
    Disconnect,
    /// The stream cannot be followed any more: close.
    Abandon,
}

impl Request {
    /// `None`: these bytes are not a request, and the stream is lost.
    pub(super) fn parse(bytes: &[u8; REQUEST_HEADER]) -> Option<Request> {
        let mut input = &bytes[..];
        if take_u32(&mut input)? != REQUEST {
            return None;
        }
        Some(Request {
            flags: take_u16(&mut input)?,
            command: take_u16(&mut input)?,
            cookie: take_u64(&mut input)?,
            offset: take_u64(&mut input)?,
            length: take_u32(&mut input)?,
        })
    }

    /// Bytes that follow the request.
    pub(super) fn payload(&self) -> u32 {
        if self.command == command::WRITE { self.length } else { 0 }
    }

    /// Decides, for a volume of `size` bytes.
    pub(super) fn judge(&self, agreed: &Agreed, size: u64) -> Action {
        use NbdError::{Invalid, NotPermitted};
        let inside = self.offset.checked_add(u64::from(self.length)).is_some_and(|end| end <= size);
        match self.command {
            command::DISC => Action::Disconnect,
            command::WRITE if self.length > MAX_PAYLOAD => Action::Abandon,
            command::WRITE | command::TRIM | command::WRITE_ZEROES => {
                Action::Refuse(NotPermitted, "the export is read-only")
            }
            _ if self.flags & !self.flags_known(agreed) != 0 => Action::Refuse(Invalid, "unknown flag"),
            command::FLUSH if self.offset != 0 || self.length != 0 => {
                Action::Refuse(Invalid, "a flush has no offset and no length")
            }
            command::FLUSH => Action::Acknowledge,
            command::READ | command::CACHE | command::BLOCK_STATUS if !inside => {
                Action::Refuse(Invalid, "past the end of the export")
            }
            command::READ if self.length > MAX_PAYLOAD => Action::Refuse(Invalid, "more than 32 MiB at once"),
            command::READ => {
                let whole = !agreed.structured || self.flags & flag::DF != 0;
                Action::Read { offset: self.offset, length: self.length, whole }
            }
            command::CACHE => Action::Acknowledge,
            command::BLOCK_STATUS if !agreed.allocation => Action::Refuse(Invalid, "no context was negotiated"),
            command::BLOCK_STATUS if self.length == 0 => Action::Refuse(Invalid, "status of nothing"),
            command::BLOCK_STATUS => {
                let one = self.flags & flag::REQ_ONE != 0;
                Action::Status { offset: self.offset, length: self.length, one }
            }
            _ => Action::Refuse(Invalid, "unknown command"),
        }
    }

    fn flags_known(&self, agreed: &Agreed) -> u16 {
        flag::FUA
            | match self.command {
                command::READ if agreed.structured => flag::DF,
                command::BLOCK_STATUS => flag::REQ_ONE,
                _ => 0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Agreed = Agreed { offer: 0, structured: false, allocation: false };
    const FULL: Agreed = Agreed { offer: 0, structured: true, allocation: true };

    fn judge(agreed: &Agreed, command: u16, flags: u16, offset: u64, length: u32) -> Action {
        Request { flags, command, cookie: 1, offset, length }.judge(agreed, 10_000)
    }

    #[test]
    fn reads() {
        let read = |whole| Action::Read { offset: 9_000, length: 1_000, whole };
        assert_eq!(judge(&PLAIN, command::READ, 0, 9_000, 1_000), read(true));
        assert_eq!(judge(&FULL, command::READ, 0, 9_000, 1_000), read(false));
        assert_eq!(judge(&FULL, command::READ, flag::DF | flag::FUA, 9_000, 1_000), read(true));
        let past = Action::Refuse(NbdError::Invalid, "past the end of the export");
        assert_eq!(judge(&FULL, command::READ, 0, 9_001, 1_000), past);
        assert_eq!(judge(&FULL, command::READ, 0, u64::MAX, 1_000), past);
        assert_eq!(judge(&PLAIN, command::READ, flag::DF, 0, 1), Action::Refuse(NbdError::Invalid, "unknown flag"));
    }

    #[test]
    fn nothing_is_written() {
        let no = Action::Refuse(NbdError::NotPermitted, "the export is read-only");
        for command in [command::WRITE, command::TRIM, command::WRITE_ZEROES] {
            assert_eq!(judge(&FULL, command, 0, 0, 512), no);
            assert_eq!(judge(&FULL, command, u16::MAX, u64::MAX, 512), no);
        }
        assert_eq!(judge(&FULL, command::WRITE, 0, 0, MAX_PAYLOAD + 1), Action::Abandon);
    }

    #[test]
    fn status_needs_its_context() {
        let invalid = |why| Action::Refuse(NbdError::Invalid, why);
        assert_eq!(judge(&PLAIN, command::BLOCK_STATUS, 0, 0, 1), invalid("no context was negotiated"));
        assert_eq!(judge(&FULL, command::BLOCK_STATUS, 0, 0, 0), invalid("status of nothing"));
        let one = Action::Status { offset: 1, length: 2, one: true };
        assert_eq!(judge(&FULL, command::BLOCK_STATUS, flag::REQ_ONE, 1, 2), one);
    }

    #[test]
    fn the_rest() {
        assert_eq!(judge(&PLAIN, command::FLUSH, flag::FUA, 0, 0), Action::Acknowledge);
        assert!(matches!(judge(&PLAIN, command::FLUSH, 0, 1, 0), Action::Refuse(NbdError::Invalid, _)));
        assert_eq!(judge(&PLAIN, command::CACHE, 0, 0, 10_000), Action::Acknowledge);
        assert_eq!(judge(&PLAIN, command::DISC, 0, 0, 0), Action::Disconnect);
        assert_eq!(judge(&PLAIN, 99, 0, 0, 0), Action::Refuse(NbdError::Invalid, "unknown command"));
    }

    #[test]
    fn golden_bytes() {
        let golden = [
            0x25, 0x60, 0x95, 0x13, // magic
            0, 4, // flags
            0, 0, // command
            1, 2, 3, 4, 5, 6, 7, 8, // cookie
            0, 0, 0, 0, 0, 0, 0x10, 0, // offset
            0, 0, 2, 0, // length
        ];
        let read = Request { flags: 4, command: 0, cookie: 0x0102_0304_0506_0708, offset: 4096, length: 512 };
        assert_eq!(Request::parse(&golden), Some(read));
        assert_eq!(Request::parse(&[0; REQUEST_HEADER]), None);
    }
}
