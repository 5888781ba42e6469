//! QEMU's storage daemon in the place of a machine.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::tools::{is_mounted, output, patiently, run, sparse, text};
use crate::world::World;

pub(super) const SIZE: u64 = 64 << 20;

/// A daemon with a qcow2 disk `sys` and a raw disk `data`. Killed when dropped.
pub(super) struct Machine {
    pub(super) folder: PathBuf,
    child: Child,
}

impl Machine {
    pub(super) fn new(world: &World) -> Machine {
        let folder = world.path("vm");
        fs::create_dir_all(&folder).unwrap();
        run("qemu-img", ["create", "-q", "-f", "qcow2", text(&folder.join("sys.qcow2")), &SIZE.to_string()]);
        sparse(&folder.join("data.raw"), SIZE);
        Machine { child: Machine::start(&folder), folder }
    }

    fn start(folder: &Path) -> Child {
        for disk in ["sys", "data"] {
            fs::write(folder.join(disk), "").unwrap();
        }
        let path = |name: &str| text(&folder.join(name)).to_owned();
        let blockdevs = [
            format!("driver=file,node-name=f,filename={}", path("sys.qcow2")),
            "driver=qcow2,node-name=sys,file=f".to_owned(),
            format!("driver=file,node-name=data,filename={}", path("data.raw")),
        ];
        let export = |disk: &str| format!("type=fuse,id={disk},node-name={disk},mountpoint={},writable=on", path(disk));
        let mut command = Command::new("qemu-storage-daemon");
        command.args(blockdevs.iter().flat_map(|blockdev| ["--blockdev", blockdev]));
        for monitor in ["qmp", "qmp-2"] {
            let socket = format!("socket,path={},server=on,wait=off,id={monitor}", path(monitor));
            command.args(["--chardev", &socket, "--monitor", &format!("chardev={monitor}")]);
        }
        command.args(["--export", &export("sys"), "--export", &export("data")]).stdin(Stdio::null());
        let child = command.spawn().unwrap();
        let ready = || ["sys", "data"].iter().all(|disk| is_mounted(&folder.join(disk)));
        assert!(patiently(ready), "the daemon has no disks");
        child
    }

    pub(super) fn source(&self) -> String {
        format!("qemu:{}#sys,data", text(&self.folder.join("qmp")))
    }

    /// As [`Machine::source`], by its other monitor.
    pub(super) fn other_source(&self) -> String {
        self.source().replace("/qmp#", "/qmp-2#")
    }

    pub(super) fn write(&self, disk: &str, offset: u64, bytes: &[u8]) {
        let file = fs::File::options().write(true).open(self.folder.join(disk)).unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }

    pub(super) fn bytes(&self, disk: &str) -> Vec<u8> {
        fs::read(self.folder.join(disk)).unwrap()
    }

    pub(super) fn ask(&self, command: &str) -> Value {
        self.order(command, &json!({})).unwrap()
    }

    /// As an administrator would, by a monitor that is free.
    pub(super) fn order(&self, command: &str, arguments: &Value) -> Result<Value, String> {
        use std::io::{BufRead as _, BufReader, Write as _};
        let mut stream = UnixStream::connect(self.folder.join("qmp-2")).unwrap();
        let asked = json!({ "execute": command, "arguments": arguments, "id": 1 });
        stream.write_all(format!("{{\"execute\":\"qmp_capabilities\"}}{asked}").as_bytes()).unwrap();
        let lines = BufReader::new(stream).lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let mut said = lines.filter(|said| said["id"] == 1).take(1).next().unwrap();
        match said["error"]["desc"].as_str() {
            Some(why) => Err(why.to_owned()),
            None => Ok(said["return"].take()),
        }
    }

    /// Names of bitmaps; a point leaves one on each disk.
    pub(super) fn bitmaps(&self) -> Vec<String> {
        let nodes = self.ask("query-named-block-nodes");
        let bitmaps = nodes.as_array().unwrap().iter().flat_map(|n| n["dirty-bitmaps"].as_array().cloned());
        bitmaps.flatten().map(|b| b["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Nothing of ours is there but bitmaps that record.
    pub(super) fn assert_tidy(&self, bitmaps: usize) {
        assert_eq!(self.bitmaps().len(), bitmaps);
        assert_eq!(self.ask("query-jobs"), json!([]));
        assert_eq!(self.ask("query-block-exports").as_array().unwrap().len(), 2, "the two that it has itself");
        assert_eq!(self.ask("query-named-block-nodes").as_array().unwrap().len(), 3);
        let claims = self.ask("query-chardev").to_string();
        assert!(!claims.contains("bs-"), "{claims}");
        let names = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("bs-")).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    pub(super) fn end(&mut self, signal: &str) {
        run("kill", ["-s", signal, &self.child.id().to_string()]);
        self.child.wait().unwrap();
        for disk in ["sys", "data"] {
            // After a kill the mounts are still there, and dead.
            drop(output("umount", ["--lazy", text(&self.folder.join(disk))]));
        }
    }

    pub(super) fn restart(&mut self, signal: &str) {
        self.end(signal);
        self.child = Machine::start(&self.folder);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end("TERM");
    }
}
