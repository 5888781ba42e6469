//! The disks of a machine, held as they were at one instant while the machine goes on.
//!
//! ```text
//!   prepare: fleece files, nodes, server ─▶ [guest still] one transaction [guest goes on] ─▶ exports, volumes
//!                                                                                             │
//!                            commit: old bitmaps go  ◀── let go (nodes, jobs, exports) ◀──────┤
//!                            put back: they mark on  ◀────────────────────────────────────────┘
//! ```
//!
//! Invariant: the bitmap of the next point marks before that of this point stops; no write falls between.
//! Never knows: what is read, or why.

mod attend;
mod fleece;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::bitmaps::{self, granularity};
use crate::disks::Disk;
use crate::leftovers::SOCKET;
use crate::names::{Names, Part};
use crate::nbd::{Doom, NbdError, NbdVolume};
use crate::qmp::{AskError, Channel};

pub use attend::attend;
use fleece::Fleece;

/// The longest path that a socket can have.
const LONGEST_SOCKET: usize = 107;

/// Why disks cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The monitor declines or is gone.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The file for saved blocks.
    #[error("the file for blocks saved from being overwritten, in {folder}")]
    Fleece {
        /// Where it is to be.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is too little space for saved blocks.
    #[error("{0} has too little free space for blocks saved from being overwritten")]
    NoSpace(PathBuf),
    /// Somebody else's server is in the way.
    #[error("another program serves disks of this machine over NBD, and there can be one such server ({0})")]
    Served(String),
    /// The socket's path is too long.
    #[error("{0} is too long for a socket")]
    LongPath(PathBuf),
    /// The export cannot be read.
    #[error("the disk {name} as it was cannot be read")]
    Nbd {
        /// Of the machine.
        name: String,
        /// Why.
        source: NbdError,
    },
}

/// A disk that is to be held.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The disk.
    pub disk: Disk,
    /// The bitmap that tells what changed, if there is one that can be relied on.
    pub since: Option<String>,
    /// The name of the bitmap that goes on from here.
    pub next: String,
}

/// What holding needs to know of its surroundings.
#[derive(Clone, Debug)]
pub struct Place {
    /// What ours is called.
    pub names: Names,
    /// Where the hypervisor may make a socket.
    pub sockets: PathBuf,
    /// Where saved blocks go, if not beside the image.
    pub fleece: Option<PathBuf>,
}

/// What makes the instant.
pub type Work<'w> = &'w mut dyn FnMut() -> Result<(), AskError>;

/// Disks that are held. Whoever has read them calls [`crate::leftovers::clean`] to let them go.
pub struct Held {
    place: Place,
    wanted: Vec<Wanted>,
    fleeces: Vec<Fleece>,
    /// The disks as they were, in the order in which they were wanted.
    pub volumes: Vec<NbdVolume>,
    /// Comes when they hold no more.
    pub doom: Doom,
}

impl Held {
    /// Holds disks. `instant` is called with the work that makes the instant, and does it while the guest is still, if it can.
    ///
    /// # Errors
    /// [`HoldError`]; then, too, [`crate::leftovers::clean`] and [`Held::undo`] are due.
    pub fn take(
        channel: &mut dyn Channel,
        place: &Place,
        wanted: &[Wanted],
        instant: &mut dyn FnMut(Work<'_>) -> Result<(), AskError>,
    ) -> Result<Held, HoldError> {
        let mut held = Held {
            place: place.clone(),
            wanted: wanted.to_vec(),
            fleeces: Vec::new(),
            volumes: Vec::new(),
            doom: Doom::default(),
        };
        for (number, wanted) in wanted.iter().enumerate() {
            held.fleeces.push(Fleece::make(channel, place, number, &wanted.disk)?);
        }
        held.listen(channel)?;
        let actions = json!({ "actions": held.actions() });
        instant(&mut || channel.ask("transaction", actions.clone()).map(drop))?;
        for number in 0..wanted.len() {
            let volume = held.open(channel, number)?;
            held.volumes.push(volume);
        }
        Ok(held)
    }

    fn socket(&self) -> PathBuf {
        self.place.sockets.join(format!("{}s{SOCKET}", self.place.names.own()))
    }

    fn listen(&self, channel: &mut dyn Channel) -> Result<(), HoldError> {
        let path = self.socket();
        if path.as_os_str().len() > LONGEST_SOCKET {
            return Err(HoldError::LongPath(path));
        }
        let address = json!({ "type": "unix", "data": { "path": path } });
        match channel.ask("nbd-server-start", json!({ "addr": address })) {
            Err(AskError::Refused { text, .. }) if text.contains("already") => Err(HoldError::Served(text)),
            other => Ok(other.map(drop)?),
        }
    }

    /// What happens at the instant, of all disks at once.
    fn actions(&self) -> Vec<Value> {
        let names = &self.place.names;
        let of_disk = |(number, wanted): (usize, &Wanted)| {
            let node = &wanted.disk.node;
            let next = json!({ "node": node, "name": wanted.next, "granularity": granularity(wanted.disk.size),
                "persistent": wanted.disk.keeps_bitmaps });
            let stop = wanted.since.as_ref().map(|since| json!({ "node": node, "name": since }));
            let save = json!({ "device": node, "sync": "none", "target": names.part(Part::Fleece, number),
                "job-id": names.part(Part::Job, number), "filter-node-name": names.part(Part::Filter, number) });
            let stop = stop.map(|data| json!({ "type": "block-dirty-bitmap-disable", "data": data }));
            std::iter::once(json!({ "type": "block-dirty-bitmap-add", "data": next }))
                .chain(stop)
                .chain([json!({ "type": "blockdev-backup", "data": save })])
                .collect::<Vec<_>>()
        };
        self.wanted.iter().enumerate().flat_map(of_disk).collect()
    }

    fn open(&self, channel: &mut dyn Channel, number: usize) -> Result<NbdVolume, HoldError> {
        let Wanted { disk, since, .. } = &self.wanted[number];
        let export = self.place.names.part(Part::Export, number);
        let bitmaps: Vec<&String> = since.iter().collect();
        let fleece = self.place.names.part(Part::Fleece, number);
        let asked = json!({ "type": "nbd", "id": export, "name": export, "node-name": fleece, "bitmaps": bitmaps });
        channel.ask("block-export-add", asked)?;
        let shown = (since.as_deref(), disk.sector);
        let volume = NbdVolume::connect(&self.socket(), &export, shown, self.doom.clone())
            .map_err(|source| HoldError::Nbd { name: disk.name.clone(), source })?;
        Ok(volume)
    }

    /// Whether everything still holds: asked after the last read, for what is read after the end of holding is newer.
    ///
    /// # Errors
    /// [`AskError`]; else why not, in words.
    pub fn check(&self, channel: &mut dyn Channel) -> Result<Result<(), String>, AskError> {
        if self.doom.has_come() {
            return Ok(Err("the disks were held no more".into()));
        }
        let jobs = channel.ask("query-jobs", json!({}))?;
        let status = |id: &str| {
            let job = jobs.as_array()?.iter().find(|job| job["id"] == id)?;
            job["status"].as_str().map(str::to_owned)
        };
        for (number, wanted) in self.wanted.iter().enumerate() {
            let status = status(&self.place.names.part(Part::Job, number));
            if !matches!(status.as_deref(), Some("running" | "paused" | "ready" | "standby")) {
                return Ok(Err(format!(
                    "the hypervisor no longer saves blocks of {} from being overwritten",
                    wanted.disk.name
                )));
            }
        }
        let full = self.fleeces.iter().find(|fleece| !fleece.has_room());
        Ok(full.map_or(Ok(()), |fleece| Err(HoldError::NoSpace(fleece.folder().to_owned()).to_string())))
    }

    /// After a failure, once the disks were let go: what the next bitmaps marked goes back into those before.
    ///
    /// # Errors
    /// [`AskError`]; whoever comes next joins them.
    pub fn undo(channel: &mut dyn Channel, names: &Names, wanted: &[Wanted]) -> Result<(), AskError> {
        let there = bitmaps::all(channel, names)?;
        for Wanted { disk, since, next } in wanted {
            // The instant may not have come.
            if there.iter().any(|bitmap| bitmap.node == disk.node && bitmap.name == *next) {
                bitmaps::put_back(channel, &disk.node, since.as_deref(), next)?;
            }
        }
        Ok(())
    }
}

/// Where saved blocks go for a disk: as told, or beside its image, or where large temporary files belong.
fn fleece_folder(place: &Place, disk: &Disk) -> PathBuf {
    let beside = disk.file.as_deref().and_then(Path::parent).map(Path::to_owned);
    place.fleece.clone().or(beside).unwrap_or_else(|| PathBuf::from("/var/tmp"))
}
