//! The content of an attribute: bytes at offsets, wherever they are kept.
//!
//! Never knows: which attribute it is.

use super::boot::Boot;
use super::lznt1;
use super::runs::Run;
use crate::bytes::{damaged, unsupported};
use crate::tree::TreeError;
use backstay_env::volume::Volume;

/// Where an attribute's bytes are.
pub(super) enum Place {
    /// In the record itself.
    Resident(Vec<u8>),
    /// In runs of clusters, in order and without gaps from 0.
    Runs(Vec<Run>),
}

/// One attribute's content.
pub(super) struct Stream {
    pub(super) place: Place,
    pub(super) size: u64,
    pub(super) initialized: u64,
    /// Clusters in a compressed unit; `None` where nothing is compressed.
    pub(super) unit: Option<u64>,
    pub(super) encrypted: bool,
}

impl Stream {
    /// Reads from the content; short only at its end.
    pub(super) fn read(
        &self,
        volume: &dyn Volume,
        boot: &Boot,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, TreeError> {
        if self.encrypted {
            return Err(unsupported("the file is encrypted"));
        }
        let n = self.size.saturating_sub(offset).min(buf.len() as u64) as usize;
        let buf = &mut buf[..n];
        match (&self.place, self.unit) {
            (Place::Resident(bytes), _) => {
                // A resident value's size is its length.
                let from = (offset as usize).min(bytes.len());
                buf.copy_from_slice(&bytes[from..from + n]);
            }
            (Place::Runs(runs), None) => {
                let written = self.initialized.saturating_sub(offset).min(n as u64) as usize;
                read_runs(volume, boot, runs, offset, &mut buf[..written])?;
                buf[written..].fill(0);
            }
            (Place::Runs(runs), Some(unit)) => {
                self.read_compressed(volume, boot, runs, unit, offset, buf)?;
            }
        }
        Ok(n)
    }

    /// All of the content, refused when it is longer than `limit`.
    pub(super) fn read_all(&self, volume: &dyn Volume, boot: &Boot, limit: u64) -> Result<Vec<u8>, TreeError> {
        let held = match &self.place {
            Place::Resident(bytes) => bytes.len() as u64,
            Place::Runs(runs) => runs.last().map_or(0, Run::end) * boot.cluster_size,
        };
        if self.size > limit || self.size > held {
            return Err(damaged(format!("an attribute of {} bytes", self.size)));
        }
        let mut bytes = vec![0; self.size as usize];
        self.read(volume, boot, 0, &mut bytes)?;
        Ok(bytes)
    }

    fn read_compressed(
        &self,
        volume: &dyn Volume,
        boot: &Boot,
        runs: &[Run],
        unit: u64,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), TreeError> {
        let unit_size = unit * boot.cluster_size;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let inside = (at % unit_size) as usize;
            let n = (unit_size as usize - inside).min(buf.len() - done);
            let bytes = self.unit(volume, boot, runs, unit, at / unit_size)?;
            buf[done..done + n].copy_from_slice(&bytes[inside..inside + n]);
            done += n;
        }
        let written = self.initialized.saturating_sub(offset).min(buf.len() as u64);
        buf[written as usize..].fill(0);
        Ok(())
    }

    /// One unit: as it is when all its clusters are there, zeros when none is, else compressed into the first ones.
    fn unit(
        &self,
        volume: &dyn Volume,
        boot: &Boot,
        runs: &[Run],
        unit: u64,
        index: u64,
    ) -> Result<Vec<u8>, TreeError> {
        let start = index * unit;
        let held = (start..start + unit).take_while(|&vcn| find(runs, vcn).is_some_and(|(lcn, _)| lcn.is_some()));
        let held = held.count() as u64;
        let mut bytes = vec![0; (held * boot.cluster_size) as usize];
        read_runs(volume, boot, runs, start * boot.cluster_size, &mut bytes)?;
        let size = (unit * boot.cluster_size) as usize;
        match held {
            0 => bytes.resize(size, 0),
            held if held == unit => {}
            _ => bytes = lznt1::expand(&bytes, size)?,
        }
        Ok(bytes)
    }
}

/// Where a cluster is, and how many follow it in the same run; `None` past the last run.
fn find(runs: &[Run], vcn: u64) -> Option<(Option<u64>, u64)> {
    let after = runs.partition_point(|r| r.vcn <= vcn);
    let run = runs.get(after.checked_sub(1)?)?;
    let inside = vcn - run.vcn;
    (inside < run.len).then(|| (run.lcn.map(|lcn| lcn + inside), run.len - inside))
}

/// Fills `buf` with what the runs hold at `offset`.
pub(super) fn read_runs(
    volume: &dyn Volume,
    boot: &Boot,
    runs: &[Run],
    offset: u64,
    buf: &mut [u8],
) -> Result<(), TreeError> {
    let cs = boot.cluster_size;
    let mut done = 0;
    while done < buf.len() {
        let at = offset + done as u64;
        let Some((lcn, len)) = find(runs, at / cs) else {
            return Err(damaged("an attribute is longer than its clusters"));
        };
        let left = len.saturating_mul(cs).saturating_sub(at % cs);
        let n = left.min((buf.len() - done) as u64) as usize;
        let part = &mut buf[done..done + n];
        match lcn {
            Some(lcn) => volume.read_at(lcn * cs + at % cs, part).map_err(TreeError::Io)?,
            None => part.fill(0),
        }
        done += n;
    }
    Ok(())
}
