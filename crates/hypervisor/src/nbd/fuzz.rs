//! What a fuzzer drives: a server that says anything at all.
//!
//! Never knows: what is right to say.

use std::io::{self, Read, Write};

use super::{ALLOCATION, Client};

/// A stream that says what it is given and hears nothing.
struct Deaf<'b>(&'b [u8]);

impl Read for Deaf<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Deaf<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A handshake, then reads and questions in turn, until something is refused.
pub fn server(bytes: &[u8]) {
    let Ok(mut client) = Client::begin(Deaf(bytes), "export", &[ALLOCATION, "qemu:dirty-bitmap:b"]) else { return };
    let mut buf = vec![0; 8192];
    for round in 0..64 {
        let refused = match round % 3 {
            0 => client.read(4096 * round, &mut buf).is_err(),
            turn => client.status(turn as usize - 1, 0, 1 << 20).is_err(),
        };
        if refused {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server says that agrees to all, for an export of a MiB.
    fn handshake() -> Vec<u8> {
        let mut said = b"NBDMAGICIHAVEOPT\0\x03".to_vec();
        let mut reply = |option: u32, kind: u32, data: &[u8]| {
            said.extend_from_slice(&0x0003_e889_0455_65a9u64.to_be_bytes());
            [option, kind, data.len() as u32].iter().for_each(|n| said.extend_from_slice(&n.to_be_bytes()));
            said.extend_from_slice(data);
        };
        reply(8, 1, &[]);
        reply(10, 4, &[&[0, 0, 0, 1], ALLOCATION.as_bytes()].concat());
        reply(10, 1, &[]);
        reply(7, 3, &[&[0, 0][..], &(1u64 << 20).to_be_bytes(), &[0, 3]].concat());
        reply(7, 1, &[]);
        said
    }

    fn chunk(flags: u16, kind: u16, data: &[u8]) -> Vec<u8> {
        let mut said = 0x668e_33efu32.to_be_bytes().to_vec();
        said.extend_from_slice(&flags.to_be_bytes());
        said.extend_from_slice(&kind.to_be_bytes());
        said.extend_from_slice(&1u64.to_be_bytes());
        said.extend_from_slice(&(data.len() as u32).to_be_bytes());
        [said, data.to_vec()].concat()
    }

    fn data(at: u64, len: usize) -> Vec<u8> {
        [at.to_be_bytes().to_vec(), vec![7; len]].concat()
    }

    fn read(chunks: &[Vec<u8>]) -> Result<Vec<u8>, String> {
        let said = [handshake(), chunks.concat()].concat();
        let mut client = Client::begin(Deaf(&said), "export", &[ALLOCATION]).map_err(|e| e.to_string())?;
        let mut buf = vec![1; 1024];
        client.read(4096, &mut buf).map(|()| buf).map_err(|e| e.to_string())
    }

    #[test]
    fn a_read_has_each_byte_once_or_fails() {
        let hole = [4608u64.to_be_bytes().to_vec(), 512u32.to_be_bytes().to_vec()].concat();
        let good = read(&[chunk(0, 1, &data(4096, 512)), chunk(1, 2, &hole)]).unwrap();
        assert!(good[..512].iter().all(|b| *b == 7) && good[512..].iter().all(|b| *b == 0));
        let bad = [
            vec![chunk(1, 1, &data(4096, 512))],                                 // too little
            vec![chunk(0, 1, &data(4096, 1024)), chunk(1, 1, &data(4608, 512))], // twice
            vec![chunk(1, 1, &data(4096, 1025))],                                // too much
            vec![chunk(1, 1, &data(0, 1024))],                                   // from elsewhere
            vec![chunk(1, 0, &[])],                                              // nothing
            vec![chunk(1, 1, &[0; 4])],                                          // no place
            vec![chunk(0, 1, &data(4096, 1024)), chunk(1, 0x8001, &[0, 0, 0, 5, 0, 0])], // an error at the end
            vec![vec![0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]], // a simple reply
        ];
        for chunks in bad {
            assert!(read(&chunks).is_err(), "{chunks:?}");
        }
    }

    #[test]
    fn any_beginning_and_any_flipped_bit_is_survived() {
        let whole = [handshake(), chunk(1, 1, &data(4096, 1024))].concat();
        (0..whole.len()).for_each(|len| server(&whole[..len]));
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            server(&bytes);
        }
    }
}
