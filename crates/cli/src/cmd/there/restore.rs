//! `restore`, through a server: the disk is read over the network, but for its holes.
//!
//! Never knows: how bytes are written.

use std::sync::Arc;

use backstay_env::volume::{Slice, Volume};

use super::look;
use crate::args::{Common, Restore};
use crate::cmd::restore::{Meant, check_target, write};
use crate::failure::Failure;
use crate::remote::{Remote, RemoteDisk};

pub(super) fn run(common: &Common, remote: &Remote, args: &Restore) -> Result<(), Failure> {
    check_target(&args.to, None)?;
    let found = look::find(remote, &args.at)?;
    let disk = found.disk()?;
    let whole = RemoteDisk::open(remote, &found.spec.machine, found.point.number.0, disk)?;
    let source: Arc<dyn Volume> = match found.spec.partition {
        None => Arc::new(whole),
        Some(number) => {
            let on_disks = found.contents(remote)?;
            let part = on_disks.iter().filter(|there| there.disk == disk).flat_map(|there| &there.parts).next();
            let part = part.ok_or_else(|| Failure::usage(format!("disk {disk} has no partition {number}")))?;
            let slice = Slice::new(whole, part.at.offset, part.at.bytes);
            Arc::new(slice.map_err(|e| Failure::new(format!("partition {number} cannot be used: {e}")))?)
        }
    };
    let meant = Meant { machine: &found.spec.machine, point: &found.point };
    write(common, args, &meant, (source, None))
}
