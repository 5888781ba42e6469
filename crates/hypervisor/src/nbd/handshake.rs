//! How a connection begins: structured replies, contexts, the export.
//!
//! Never knows: what is read later.

use std::io::{Read, Write};

use super::NbdError;
use super::wire::*;

/// A reply of an option is no longer than this.
const LONGEST_REPLY: u32 = 16 << 10;
/// Replies to one option.
const MOST_REPLIES: usize = 64;
/// What one request may ask for, if the server does not say.
const USUAL_PAYLOAD: u32 = 32 << 20;
/// No server may talk us into more.
const MOST_PAYLOAD: u32 = 32 << 20;

/// What was agreed on.
#[derive(Debug)]
pub(super) struct Agreed {
    /// Bytes of the export.
    pub(super) size: u64,
    /// For each context that was asked for, its number.
    pub(super) contexts: Vec<Option<u32>>,
    /// What one read may ask for.
    pub(super) payload: u32,
}

/// Agrees on an export.
pub(super) fn agree<S: Read + Write>(stream: &mut S, export: &str, contexts: &[&str]) -> Result<Agreed, NbdError> {
    if stream.u64()? != INIT || stream.u64()? != OPTION {
        return Err(NbdError::Protocol("it does not begin as NBD does"));
    }
    let flags = stream.u16()?;
    if flags & FIXED_NEWSTYLE == 0 {
        return Err(NbdError::Declined("it speaks only an old form of NBD"));
    }
    let ours = u32::from(flags & (FIXED_NEWSTYLE | NO_ZEROES));
    stream.write_all(&ours.to_be_bytes())?;
    option(stream, OPT_STRUCTURED, &[])?;
    if !acknowledged(stream, OPT_STRUCTURED, &mut |_, _| Ok(()))? {
        return Err(NbdError::Declined("no structured replies"));
    }
    let contexts = set_contexts(stream, export, contexts)?;
    let (size, payload) = go(stream, export)?;
    Ok(Agreed { size, contexts, payload })
}

fn set_contexts<S: Read + Write>(stream: &mut S, export: &str, wanted: &[&str]) -> Result<Vec<Option<u32>>, NbdError> {
    let mut asked = Vec::new();
    put_text(&mut asked, export);
    asked.extend_from_slice(&(wanted.len() as u32).to_be_bytes());
    wanted.iter().for_each(|name| put_text(&mut asked, name));
    option(stream, OPT_SET_CONTEXT, &asked)?;
    let mut numbers = vec![None; wanted.len()];
    acknowledged(stream, OPT_SET_CONTEXT, &mut |kind, reply| {
        let Some((number, name)) = reply.split_first_chunk().filter(|_| kind == REP_CONTEXT) else {
            return Err(NbdError::Protocol("a context without a number"));
        };
        if let Some(at) = wanted.iter().position(|wanted| wanted.as_bytes() == name) {
            numbers[at] = Some(u32::from_be_bytes(*number));
        }
        Ok(())
    })?;
    Ok(numbers)
}

fn go<S: Read + Write>(stream: &mut S, export: &str) -> Result<(u64, u32), NbdError> {
    let mut asked = Vec::new();
    put_text(&mut asked, export);
    asked.extend_from_slice(&1u16.to_be_bytes());
    asked.extend_from_slice(&INFO_BLOCK_SIZE.to_be_bytes());
    option(stream, OPT_GO, &asked)?;
    let (mut size, mut payload) = (None, USUAL_PAYLOAD);
    let is_ours = acknowledged(stream, OPT_GO, &mut |kind, reply| {
        let mut reply = reply;
        if kind != REP_INFO {
            return Ok(());
        }
        match reply.u16()? {
            INFO_EXPORT => size = Some(reply.u64()?),
            INFO_BLOCK_SIZE => {
                let (_least, _preferred, most) = (reply.u32()?, reply.u32()?, reply.u32()?);
                payload = most;
            }
            _ => {}
        }
        Ok(())
    })?;
    match size {
        Some(size) if is_ours && size <= i64::MAX as u64 => Ok((size, payload.clamp(64 << 10, MOST_PAYLOAD))),
        Some(_) if is_ours => Err(NbdError::Protocol("a disk larger than any")),
        _ => Err(NbdError::Declined("there is no such export")),
    }
}

fn option<S: Write>(stream: &mut S, option: u32, data: &[u8]) -> Result<(), NbdError> {
    let mut out = OPTION.to_be_bytes().to_vec();
    out.extend_from_slice(&option.to_be_bytes());
    out.extend_from_slice(&(data.len() as u32).to_be_bytes());
    out.extend_from_slice(data);
    Ok(stream.write_all(&out)?)
}

/// What is done with a reply, by its kind.
type OnReply<'r> = &'r mut dyn FnMut(u32, &[u8]) -> Result<(), NbdError>;

/// Takes the replies to an option up to its last; whether that says yes.
fn acknowledged<S: Read>(stream: &mut S, option: u32, on: OnReply<'_>) -> Result<bool, NbdError> {
    for _ in 0..MOST_REPLIES {
        if stream.u64()? != OPTION_REPLY || stream.u32()? != option {
            return Err(NbdError::Protocol("a reply to something else"));
        }
        let (kind, len) = (stream.u32()?, stream.u32()?);
        if len > LONGEST_REPLY {
            return Err(NbdError::Protocol("a reply that is too long"));
        }
        let reply = stream.some(len as usize)?;
        match kind {
            REP_ACK => return Ok(true),
            kind if kind & REP_ERROR != 0 => return Ok(false),
            kind => on(kind, &reply)?,
        }
    }
    Err(NbdError::Protocol("replies without end"))
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
