//! A server and an agent as people run them: enrolled with a code, points over the network, through deaths of either.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use reqwest::blocking::Client;
use reqwest::{Certificate, Method};
use serde_json::{Value, json};

use crate::live::{EXT4, command};
use crate::tools::{Loop, Mount, Numbers, copy, noisy_image, output, patiently, poke, run, sparse, text};
use crate::world::said;
use crate::world::{Running, World};

const MIB: u64 = 1 << 20;
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A server with an administrator who is an operator, too.
pub(crate) struct Service<'w> {
    pub(crate) world: &'w World,
    pub(crate) data: PathBuf,
    port: u64,
    pub(crate) running: Option<Running>,
    pub(crate) code: String,
}

impl<'w> Service<'w> {
    pub(crate) fn new(world: &'w World) -> Self {
        let data = world.path("data");
        let mut service = Service { world, data, port: 0, running: None, code: String::new() };
        service.start();
        let first = json!({ "code": service.code, "name": "admin", "password": PASSWORD });
        assert_eq!(service.client().post("/api/v1/setup", &first).0, 204);
        let operator =
            json!({ "name": "olga", "password": PASSWORD, "grants": [{ "role": "operator", "scope": "all" }] });
        assert_eq!(service.somebody("admin").post("/api/v1/people", &operator).0, 201);
        service
    }

    /// Starts it, on the port that it had before if any.
    pub(crate) fn start(&mut self) {
        let listen = format!("127.0.0.1:{}", self.port);
        let args = ["server", "--data", text(&self.data), "--listen", &listen, "--name", "localhost", "--json"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_backstay"));
        command.args(args);
        let mut running = self.world.start_as(command);
        running.wait_for("setup_code");
        running.wait_for("}");
        let said = running.json();
        self.port = said["address"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        self.code = said["setup_code"].as_str().unwrap_or_default().to_owned();
        self.running = Some(running);
    }

    /// Ends it and starts it again.
    pub(crate) fn again(&mut self) {
        self.kill();
        self.start();
    }

    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().unwrap();
        running.signal("KILL");
        running.end();
    }

    fn client(&self) -> Someone {
        let authority = Certificate::from_pem(&fs::read(self.data.join("ca/certificate.pem")).unwrap()).unwrap();
        let http = Client::builder().tls_certs_only([authority]).cookie_store(true).build().unwrap();
        Someone { http, base: format!("https://localhost:{}", self.port), csrf: String::new() }
    }

    pub(crate) fn somebody(&self, name: &str) -> Someone {
        let mut someone = self.client();
        let (status, said) = someone.post("/api/v1/login", &json!({ "name": name, "password": PASSWORD }));
        assert_eq!(status, 200, "{said}");
        someone.csrf = said["csrf"].as_str().unwrap().to_owned();
        someone
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub(crate) fn new_code(&self, machine: &str) -> String {
        let (status, made) = self.somebody("olga").post("/api/v1/enrolments", &json!({ "machine": machine }));
        assert_eq!(status, 201, "{made}");
        made["code"].as_str().unwrap().to_owned()
    }

    /// A machine that is enrolled; its folder.
    pub(crate) fn enrolled(&self, machine: &str) -> PathBuf {
        let dir = self.world.path(&format!("agent-{machine}"));
        let said = self.world.json(&["enroll", &self.url(), &self.new_code(machine), "--dir", text(&dir)]);
        assert_eq!(said["machine"], machine);
        dir
    }

    /// The server's own store, read with no server.
    pub(crate) fn store(&self, args: &[&str]) -> Value {
        let (store, key) = (self.data.join("store"), self.data.join("keys/store"));
        let place = ["--store", text(&store), "--passphrase-file", text(&key), "--json"];
        let out = run(env!("CARGO_BIN_EXE_backstay"), args.iter().copied().chain(place));
        serde_json::from_str(&out).unwrap_or(Value::Null)
    }

    /// How many points a machine has; none before the first.
    pub(crate) fn points(&self, machine: &str) -> usize {
        let known = self.store(&["machines"]);
        let known = known.as_array().is_some_and(|all| all.iter().any(|one| one["machine"] == machine));
        if known { self.store(&["points", machine]).as_array().map_or(0, Vec::len) } else { 0 }
    }

    pub(crate) fn restored(&self, machine: &str) -> PathBuf {
        let target = self.world.path("restored.img");
        drop(fs::remove_file(&target));
        self.store(&["restore", machine, "--to", text(&target), "--yes"]);
        target
    }
}

pub(crate) struct Someone {
    http: Client,
    base: String,
    csrf: String,
}

impl Someone {
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.try_post(path, body).unwrap()
    }

    /// As [`Someone::post`]; nothing if there was no whole answer.
    pub(crate) fn try_post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let request = self.http.request(Method::POST, format!("{}{path}", self.base));
        let answer = request.header("x-backstay-csrf", &self.csrf).json(body).send().ok()?;
        let (status, text) = (answer.status().as_u16(), answer.text().ok()?);
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.http.get(format!("{}{path}", self.base)).send().unwrap();
        (answer.status().as_u16(), answer.json().unwrap_or(Value::Null))
    }
}

#[test]
fn enrolled_once_and_protected() {
    let world = World::new();
    let service = Service::new(&world);
    let image = world.path("web.img");
    noisy_image(&image, 24 * MIB, 1);

    // Codes that are wrong in every way that people get them wrong.
    let (dir, code) = (world.path("agent-web"), service.new_code("web"));
    let enroll = |code: &str| ["enroll", &service.url(), code, "--dir", text(&dir)].map(str::to_owned);
    let refused = |status, code: &str| {
        let args = enroll(code);
        world.refused(status, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert!(refused(2, &code[1..]).contains("42 letters"));
    let last = if code.ends_with('A') { "B" } else { "A" };
    let other = format!("{}{last}", &code[..code.len() - 2].to_owned()) + &code[code.len() - 1..];
    assert!(refused(1, &other).contains("not the server that the code is of"));
    assert!(world.refused(1, &["agent", text(&image), "--dir", text(&dir), "--once"]).contains("enroll"));
    let args = enroll(&code);
    assert!(world.ok(&args.iter().map(String::as_str).collect::<Vec<_>>()).contains("web"));
    assert!(refused(4, &code).contains("not valid"));

    // There is no store on the machine of an agent.
    let agent = || -> Value {
        let mut command = world.command(&["agent", text(&image), "--dir", text(&dir), "--once", "--json"]);
        let said = said(command.env_remove("BACKSTAY_STORE").env_remove("BACKSTAY_PASSPHRASE_FILE"));
        assert_eq!(said.status, Some(0), "{said:?}");
        serde_json::from_str(&said.out).unwrap()
    };
    let first = agent();
    assert!(first["machine"] == "web" && first["point"] == 1 && first["consistent"] == true, "{first}");
    let kept = world.path("kept.img");
    copy(&image, &kept);
    poke(&image, 5 * MIB, &Numbers(5).bytes(8192));
    let second = agent();
    assert!(second["changed_pages"].as_u64().unwrap() <= 3, "{second}");
    crate::tools::assert_same(&service.restored("web"), &image);
    assert_eq!(service.points("web"), 2);
    assert_eq!(service.store(&["check", "--read-data"])["clean"], true);
    let many: Vec<String> = (0..65).flat_map(|n| ["--exclude".to_owned(), format!("/{n}")]).collect();
    let many = many.iter().map(String::as_str);
    let many: Vec<&str> = ["agent", text(&image), "--dir", text(&dir)].into_iter().chain(many).collect();
    assert!(world.refused(2, &many).contains("at most 64"));
}

/// A disk in use: points every second; the server is killed and comes back, so does the agent; what was written meanwhile is there,
/// and nothing was compared for it.
#[test]
fn followed_through_deaths_of_either() {
    let world = World::new();
    let mut service = Service::new(&world);
    let dir = service.enrolled("live");
    let (image, folder) = (world.path("disk"), world.path("mounted"));
    sparse(&image, 256 * MIB);
    fs::create_dir(&folder).unwrap();
    let device = Loop::new(&image, 512);
    run(EXT4.make[0], EXT4.make[1..].iter().copied().chain([device.path()]));
    let mount = Mount::new(&["-o", EXT4.mount], device.path(), &folder);
    let agent = ["agent", device.path(), "--dir", text(&dir), "--every", "1s"];
    let start = || {
        let mut command = command(&world, &agent);
        command.env_remove("BACKSTAY_STORE").env_remove("BACKSTAY_PASSPHRASE_FILE");
        world.start_as(command)
    };
    let mut running = start();
    let write = |name: &str| {
        fs::write(folder.join(name), Numbers(name.len() as u64).bytes(300_000)).unwrap();
        run("sync", ["-f", text(&folder)]);
    };
    write("first");
    assert!(patiently(|| service.points("live") >= 2), "{}", running.log());

    service.kill();
    write("while it was away");
    running.wait_for("no point this time");
    service.start();
    let before = service.points("live");
    assert!(patiently(|| service.points("live") >= before + 2), "{}", running.log());

    running.signal("KILL");
    running.end();
    write("while nobody was there");
    let said_before = running.log();
    let mut running = start();
    let before = service.points("live");
    assert!(patiently(|| service.points("live") >= before + 2), "{}", running.log());
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    // Only the very first point needed it.
    assert_eq!(said_before.matches("read and compared").count(), 1, "{said_before}");
    assert_eq!(running.log().matches("compared").count(), 0, "{}", running.log());
    let unfollow = command(&world, &["agent", device.path(), "--dir", text(&dir), "--unfollow"]).output().unwrap();
    assert!(unfollow.status.success(), "{unfollow:?}");
    drop(mount);

    let restored = service.restored("live");
    assert!(output("e2fsck", ["-f", "-n", text(&restored)]).status.success());
    let again = Loop::new(&restored, 512);
    let shown = Mount::new(&["-o", "ro"], again.path(), &folder);
    for name in ["first", "while it was away", "while nobody was there"] {
        assert!(fs::read(folder.join(name)).unwrap() == Numbers(name.len() as u64).bytes(300_000), "{name}");
    }
    drop(shown);
    assert_eq!(service.store(&["check", "--read-data"])["clean"], true);
}
