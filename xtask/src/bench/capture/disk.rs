//! Disks on loop devices with direct I/O, mounted, with a large file to write to; gone when dropped.
//!
//! Never knows: who writes or follows.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::bench::data::copy_sparse;
use crate::bench::random::Random;
use crate::fail::{During, Result};
use crate::guards::{Loop, Mount};
use crate::run;

const MIB: usize = 1 << 20;
const PAGE: usize = 4096;

/// A mounted ext4.
pub(super) struct Disk {
    // Dropped in this order.
    _mount: Mount,
    device: Loop,
    image: PathBuf,
    folder: PathBuf,
}

impl Disk {
    /// A new file system of so many bytes; the file behind it is sparse.
    pub(super) fn fresh(dir: &Path, name: &str, bytes: u64) -> Result<Disk> {
        let image = dir.join(format!("{name}.img"));
        File::create(&image).and_then(|file| file.set_len(bytes)).during(image.display())?;
        // Few inodes: the tables of a TiB would else be what is compared first.
        let few = ["-q", "-F", "-i", "1048576", "-E", "nodiscard,lazy_itable_init=1"];
        run::output(run::program("mkfs.ext4").args(few).arg(&image))?;
        Disk::mounted(dir, name, image)
    }

    /// A copy of an image with an ext4.
    pub(super) fn copy(dir: &Path, name: &str, of: &Path) -> Result<Disk> {
        let image = dir.join(format!("{name}.img"));
        copy_sparse(of, &image)?;
        Disk::mounted(dir, name, image)
    }

    fn mounted(dir: &Path, name: &str, image: PathBuf) -> Result<Disk> {
        let device = Loop::attach_direct(&image)?;
        let folder = dir.join(format!("{name}.mounted"));
        // Nothing is to write but who is measured.
        let mount = Mount::new(device.device(), &folder, "noatime,noinit_itable")?;
        Ok(Disk { _mount: mount, device, image, folder })
    }

    /// The device's path.
    pub(super) fn device(&self) -> &str {
        self.device.device()
    }

    /// The file behind it.
    pub(super) fn image(&self) -> &Path {
        &self.image
    }

    /// Where it is mounted.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file of so many random bytes on it, durable.
    pub(super) fn fill(&self, bytes: u64) -> Result<PathBuf> {
        let path = self.folder.join("large");
        let file = File::create(&path).during(path.display())?;
        let (mut random, mut block) = (Random::seeded(bytes), vec![0; 4 * MIB]);
        for at in (0..bytes).step_by(block.len()) {
            random.fill(&mut block);
            file.write_all_at(&block, at).during(path.display())?;
        }
        file.sync_all().during(path.display())?;
        Ok(path)
    }
}

/// Overwrites so many distinct pages of a file, far apart, with random bytes; they are durable on return.
pub(super) fn scatter(path: &Path, pages: u64, random: &mut Random) -> Result<Vec<u64>> {
    let file = File::options().write(true).open(path).during(path.display())?;
    let all = fs::metadata(path).during(path.display())?.len() / PAGE as u64;
    let (mut page, mut offsets) = ([0; PAGE], Vec::new());
    // One page in each of as many stretches.
    for number in 0..pages {
        let (from, to) = (number * all / pages, (number + 1) * all / pages);
        random.fill(&mut page);
        let offset = (from + random.below(to - from)) * PAGE as u64;
        file.write_all_at(&page, offset).during(path.display())?;
        offsets.push(offset);
    }
    file.sync_all().during(path.display())?;
    Ok(offsets)
}
