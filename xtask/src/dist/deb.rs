//! One Debian package: a tree of files, what is said of it, and `dpkg-deb`.
//!
//! Never knows: what is in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Release;
use crate::fail::{During, Result};
use crate::run;

/// A package that is put together.
pub(super) struct Deb<'a> {
    release: &'a Release<'a>,
    name: &'static str,
    tree: PathBuf,
    conffiles: Vec<String>,
}

/// What is said of a package.
pub(super) struct About<'a> {
    pub(super) depends: &'a str,
    /// More fields, each a line.
    pub(super) more: &'a str,
    pub(super) section: &'static str,
    /// In short.
    pub(super) what: &'static str,
    /// At length, in lines of their own.
    pub(super) why: &'static str,
}

impl<'a> Deb<'a> {
    /// With nothing in it.
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn new(release: &'a Release<'a>, name: &'static str) -> Result<Deb<'a>> {
        let tree = release.folder.join("tree").join(name);
        if tree.exists() {
            fs::remove_dir_all(&tree).during(tree.display())?;
        }
        folder(&tree)?;
        Ok(Deb { release, name, tree, conffiles: Vec::new() })
    }

    /// A file of these bytes.
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, to: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        let path = self.place(to)?;
        fs::write(&path, bytes).during(path.display())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).during(path.display())
    }

    /// A file of the repository.
    /// # Errors
    /// As [`Deb::write`].
    pub(super) fn copy(&self, from: &Path, to: &str, mode: u32) -> Result<()> {
        let from = run::root().join(from);
        self.write(to, mode, &fs::read(&from).during(from.display())?)
    }

    /// As [`Deb::copy`]: a file that belongs to the administrator from then on.
    /// # Errors
    /// As [`Deb::write`].
    pub(super) fn conffile(&mut self, from: &Path, to: &str, mode: u32) -> Result<()> {
        self.conffiles.push(format!("/{to}\n"));
        self.copy(from, to, mode)
    }

    /// As [`Deb::write`], compressed, and always to the same bytes.
    /// # Errors
    /// As [`Deb::write`].
    pub(super) fn gzip(&self, to: &str, bytes: &[u8]) -> Result<()> {
        self.write(to, 0o644, bytes)?;
        run::run(Command::new("gzip").arg("-9nf").arg(self.tree.join(to)))
    }

    fn place(&self, to: &str) -> Result<PathBuf> {
        let path = self.tree.join(to);
        path.parent().map_or(Ok(()), folder)?;
        Ok(path)
    }

    /// Makes the package.
    /// # Errors
    /// `dpkg-deb` fails.
    pub(super) fn build(self, about: &About<'_>) -> Result<PathBuf> {
        let scripts = run::root().join("packaging/deb").join(self.name);
        for script in ["postinst", "prerm", "postrm"] {
            if scripts.join(script).exists() {
                self.copy(&scripts.join(script), &format!("DEBIAN/{script}"), 0o755)?;
            }
        }
        let arch = run::text(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
        let control = self.control(about, &arch)?;
        self.write("DEBIAN/control", 0o644, control.as_bytes())?;
        if !self.conffiles.is_empty() {
            self.write("DEBIAN/conffiles", 0o644, self.conffiles.concat().as_bytes())?;
        }
        self.write("DEBIAN/md5sums", 0o644, self.sums()?.as_bytes())?;
        let deb = self.release.folder.join(format!("{}_{}_{arch}.deb", self.name, self.release.version));
        let mut command = Command::new("dpkg-deb");
        command.env("SOURCE_DATE_EPOCH", self.release.epoch.to_string());
        command.args(["--root-owner-group", "-Zxz", "--build"]).arg(&self.tree).arg(&deb);
        run::output(&mut command)?;
        fs::remove_dir_all(&self.tree).during(self.tree.display())?;
        Ok(deb)
    }

    fn control(&self, about: &About<'_>, arch: &str) -> Result<String> {
        let About { depends, more, section, what, why } = about;
        let sizes = files(&self.tree)?.into_iter().filter_map(|path| fs::metadata(path).ok()).map(|about| about.len());
        let kib: u64 = sizes.map(|bytes| bytes.div_ceil(1024)).sum();
        let why: String = why.lines().map(|line| format!(" {}\n", line.trim())).collect();
        Ok(format!(
            "Package: {}\nSource: backstay\nVersion: {}\nArchitecture: {arch}\nMaintainer: Backstay <packages@backstay.invalid>\n\
             Installed-Size: {kib}\nDepends: {depends}\n{more}Section: {section}\nPriority: optional\n\
             Homepage: https://github.com/backstay/backstay\nDescription: {what}\n{why}",
            self.name, self.release.version
        ))
    }

    /// By what dpkg knows whether files are as they were.
    fn sums(&self) -> Result<String> {
        let mut names = Vec::new();
        for path in files(&self.tree)? {
            let name = path.strip_prefix(&self.tree).during(path.display())?.to_path_buf();
            if !name.starts_with("DEBIAN") {
                names.push(name);
            }
        }
        run::text(Command::new("md5sum").current_dir(&self.tree).arg("--").args(names))
    }
}

/// A folder that anybody may look into, with those above it.
fn folder(path: &Path) -> Result<()> {
    let mut missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
    while let Some(path) = missing.pop() {
        fs::create_dir(path).during(path.display())?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).during(path.display())?;
    }
    Ok(())
}

/// The files below a folder, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).during(folder.display())? {
        let entry = entry.during(folder.display())?;
        let kind = entry.file_type().during(folder.display())?;
        if kind.is_dir() {
            all.extend(files(&entry.path())?);
        } else if kind.is_file() {
            all.push(entry.path());
        }
    }
    all.sort();
    Ok(all)
}
