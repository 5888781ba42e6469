//! Disks with file systems, as a plan wants them; gone when dropped.
//!
//! Never knows: what keeps them busy, or how they are captured.

pub(crate) mod disk;
pub(crate) mod kind;
pub(crate) mod plan;
pub(crate) mod slow;

use std::path::{Path, PathBuf};

use crate::chance::Chance;
use crate::disturb::Copier;
use crate::fail::{Fail, Result};
use crate::tools::{run, text};
use disk::{Loop, Mount, size_of, sparse};
use plan::{Part, Plan};
use slow::Slow;

/// A file system that is mounted.
pub(crate) struct Volume {
    pub(crate) device: PathBuf,
    pub(crate) mount: Mount,
    /// Bytes it takes, and those it may take.
    pub(crate) room: (u64, u64),
}

/// Disks, and what is mounted of them. Dropped in this order.
pub(crate) struct World {
    volumes: Vec<Volume>,
    disks: Vec<Loop>,
    _slow: Vec<Slow>,
    pool: Option<Pool>,
}

/// Where files can be cloned.
struct Pool {
    mount: Mount,
    _disk: Loop,
}

/// Bytes of it: disks, and what copies of them come to differ in.
const POOL: u64 = 16 << 30;

impl Pool {
    fn make(folder: &Path) -> Result<Pool> {
        let image = folder.join("pool");
        sparse(&image, POOL)?;
        let disk = Loop::attach(&image, 512, true)?;
        run("mkfs.xfs", ["-qf", "-m", "reflink=1", text(disk.path())])?;
        Ok(Pool { mount: Mount::new(disk.path(), &folder.join("pooled"), "rw")?, _disk: disk })
    }
}

impl World {
    /// Makes disks in a folder, and mounts their file systems.
    ///
    /// # Errors
    /// A program of the administrator fails.
    pub(crate) fn make(plan: &Plan, folder: &Path, chance: &mut Chance) -> Result<World> {
        let pool = if plan.is_copied() { Some(Pool::make(folder)?) } else { None };
        let mut world = World { volumes: Vec::new(), disks: Vec::new(), _slow: Vec::new(), pool };
        for (number, size) in plan.disks.iter().enumerate() {
            let image = world.image(folder, number);
            sparse(&image, *size)?;
            let shown = match plan.slow {
                false => image,
                true => {
                    let slow = Slow::over(&image, &folder.join(format!("slow{number}")), chance.next())?;
                    let file = slow.file().to_owned();
                    world._slow.push(slow);
                    file
                }
            };
            world.disks.push(Loop::attach(&shown, plan.sector, true)?);
        }
        world.partition(&plan.parts)?;
        for (number, place) in plan.volumes.iter().enumerate() {
            let device = world.disks[place.disk].part(place.part);
            let most = size_of(&device)?;
            let size = if place.grows { (most / 4 * 3).max(place.kind.least()) >> 20 << 20 } else { most >> 20 << 20 };
            place.kind.make(&device, size)?;
            let mount = Mount::new(&device, &folder.join(format!("mounted{number}")), "rw")?;
            world.volumes.push(Volume { device, mount, room: (size, most >> 20 << 20) });
        }
        Ok(world)
    }

    fn partition(&self, parts: &[Part]) -> Result<()> {
        if parts.is_empty() {
            return Ok(());
        }
        let disk = &self.disks[0];
        let mut arguments = vec!["--clear".to_owned()];
        for part in parts {
            arguments.push(format!("--new={}:0:+{}M", part.number, part.mib));
            arguments.push(format!("--typecode={}:{}", part.number, part.code));
        }
        arguments.push(text(disk.path()).to_owned());
        run("sgdisk", &arguments)?;
        disk.show_partitions()?;
        for part in parts.iter().filter(|part| part.code == plan::SWAP) {
            run("mkswap", [text(&disk.part(part.number))])?;
        }
        Ok(())
    }

    /// The file behind a disk.
    pub(crate) fn image(&self, folder: &Path, number: usize) -> PathBuf {
        self.pool.as_ref().map_or(folder, |pool| pool.mount.folder()).join(format!("disk{number}"))
    }

    /// What copies the disks while they are held still, if they can be.
    pub(crate) fn copier(&self, folder: &Path) -> Option<Copier> {
        self.pool.as_ref()?;
        let mounted = self.volumes.iter().map(|volume| volume.mount.folder().to_owned()).collect();
        let images = (0..self.disks.len()).map(|number| self.image(folder, number)).collect();
        Some(Copier { mounted, images, copied: Vec::new() })
    }

    pub(crate) fn disks(&self) -> &[Loop] {
        &self.disks
    }

    /// One of the file systems that are mounted.
    ///
    /// # Errors
    /// There is none of that number.
    pub(crate) fn volume(&self, number: usize) -> Result<&Volume> {
        self.volumes.get(number).ok_or_else(|| Fail::new(format!("there is no file system {number}")))
    }

    /// Unmounts everything; afterwards nothing writes to the disks.
    ///
    /// # Errors
    /// Something is still in use.
    pub(crate) fn unmount(&mut self) -> Result<()> {
        self.volumes.drain(..).try_for_each(|volume| volume.mount.unmount())
    }
}
