//! Loop devices and mounts that go away whatever happens, Ctrl-C included.
//!
//! Never knows: what is on them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::fail::{During, Fail, Result};
use crate::run;

/// An image file as a block device, until dropped.
pub(crate) struct Loop(String);

impl Loop {
    /// Attaches the file to a free loop device.
    pub(crate) fn attach(file: &Path) -> Result<Loop> {
        let said = run::text(run::as_root("losetup")?.args(["--find", "--show"]).arg(file))?;
        Ok(Loop(said.trim().to_owned()))
    }

    /// As [`Loop::attach`]; the device reads and writes the file past the page cache.
    pub(crate) fn attach_direct(file: &Path) -> Result<Loop> {
        let said = run::text(run::as_root("losetup")?.args(["--find", "--show", "--direct-io=on"]).arg(file))?;
        Ok(Loop(said.trim().to_owned()))
    }

    /// The device's path.
    pub(crate) fn device(&self) -> &str {
        &self.0
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        detach("losetup", &["--detach", &self.0]);
    }
}

/// A mounted file system, until dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Mounts the device on the folder, which is made.
    pub(crate) fn new(device: &str, folder: &Path, options: &str) -> Result<Mount> {
        std::fs::create_dir_all(folder).during(folder.display())?;
        run::output(run::as_root("mount")?.args(["-o", options, device]).arg(folder))?;
        Ok(Mount(folder.to_path_buf()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        detach("umount", &[&self.0.to_string_lossy()]);
    }
}

/// Nothing is left to do after a failure here but to say what stayed behind.
fn detach(program: &str, arguments: &[&str]) {
    let result = run::as_root(program).and_then(|mut command| run::output(command.args(arguments)));
    if let Err(cause) = result {
        eprintln!("could not clean up: {cause}");
    }
}

/// Whether the user asked us to stop. While this exists, Ctrl-C ends the programs we run but not us, so that what we
/// attached and mounted is taken away.
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Begins to listen.
    pub(crate) fn listen() -> Result<Interrupt> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&asked)).during("listening for signals")?;
        }
        Ok(Interrupt(asked))
    }

    /// # Errors
    /// The user asked us to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Fail::new("stopped, and cleaned up")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached(file: &Path) -> Result<String> {
        run::text(run::as_root("losetup")?.arg("--associated").arg(file))
    }

    #[test]
    fn nothing_stays_behind() -> Result<()> {
        let dir = tempfile::tempdir().during("a folder")?;
        let (file, folder) = (dir.path().join("disk.img"), dir.path().join("mounted"));
        let image = std::fs::File::create(&file).during("an image")?;
        image.set_len(16 << 20).during("an image")?;
        run::output(run::program("mkfs.ext4").arg("-q").arg(&file))?;
        {
            let disk = Loop::attach(&file)?;
            let _mount = Mount::new(disk.device(), &folder, "ro")?;
            assert!(attached(&file)?.contains(disk.device()));
            assert!(folder.join("lost+found").is_dir());
        }
        assert_eq!(attached(&file)?, "");
        assert!(!folder.join("lost+found").exists());
        Ok(())
    }
}
