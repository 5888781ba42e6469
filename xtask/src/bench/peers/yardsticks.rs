//! What compression alone costs: a plain compressor, and a compressed disk image. No dedup, no encryption.

use std::path::PathBuf;
use std::process::Command;

use super::{Contender, Place};

/// `zstd -1 -T0`.
pub(crate) struct Zstd;

/// `qemu-img convert -c` with zstd.
pub(crate) struct QemuImg;

fn command(place: &Place, program: &str, arguments: &[&str]) -> Command {
    let mut command = place.command(program);
    command.args(arguments);
    command
}

impl Contender for Zstd {
    fn name(&self) -> &'static str {
        "zstd -1 -T0"
    }
    fn version(&self) -> Command {
        let mut command = Command::new("zstd");
        command.arg("--version");
        command
    }
    fn is_yardstick(&self) -> bool {
        true
    }
    fn init(&self, _place: &Place) -> Option<Command> {
        None
    }
    fn protect(&self, place: &Place) -> Command {
        command(place, "zstd", &["-q", "-f", "-1", "-T0", "disk.img", "-o", "store"])
    }
    fn restore(&self, place: &Place) -> Command {
        command(place, "zstd", &["-q", "-d", "store", "-o", "out"])
    }
    fn restored(&self, place: &Place) -> PathBuf {
        place.out.clone()
    }
}

impl Contender for QemuImg {
    fn name(&self) -> &'static str {
        "qemu-img -c"
    }
    fn version(&self) -> Command {
        let mut command = Command::new("qemu-img");
        command.arg("--version");
        command
    }
    fn is_yardstick(&self) -> bool {
        true
    }
    fn init(&self, _place: &Place) -> Option<Command> {
        None
    }
    fn protect(&self, place: &Place) -> Command {
        let options = ["-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd"];
        let mut command = command(place, "qemu-img", &["convert", "-c"]);
        command.args(options).args([&place.image, &place.store]);
        command
    }
    fn restore(&self, place: &Place) -> Command {
        let mut command = command(place, "qemu-img", &["convert", "-f", "qcow2", "-O", "raw"]);
        command.args([&place.store, &place.out]);
        command
    }
    fn restored(&self, place: &Place) -> PathBuf {
        place.out.clone()
    }
}
