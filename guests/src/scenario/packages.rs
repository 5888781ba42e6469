//! The packages in the life of a machine: installed, enrolled, restarted, upgraded, restarted again. Server and agent are on the same
//! machine, as services of systemd.
//!
//! Never knows: how packages are made, or how a guest is run.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::follow::{all_consistent, number, stop_writing, write};
use crate::fail::{During, Fail, Result, ensure};
use crate::guest::{Guest, Parts};

/// How long to wait for a service, and for points.
const PATIENCE: Duration = Duration::from_secs(240);
const SERVER: &str = "https://127.0.0.1:7443";
const PASSWORD: &str = "correct horse battery";
const FOLDERS: &str = "/srv/one /srv/two";

/// A disk to protect. The store is on the other one. The journal is kept over restarts.
const MAKE: &str = "set -e
mkfs.ext4 -q /dev/vdb && mkdir -p /srv /var/log/journal
echo '/dev/vdb /srv ext4 defaults 0 2' >>/etc/fstab
mount /srv && mkdir /srv/one /srv/two && head -c 60M /dev/urandom >/srv/large && sync
systemctl restart systemd-journald";

pub(super) fn run(parts: &Parts<'_>) -> Result<String> {
    let mut guest = Guest::start(parts, &[512, 512])?;
    guest.run(MAKE)?;
    install(&mut guest, "this")?;
    is(&mut guest, "backstay-server", "inactive")?;
    is(&mut guest, "backstay-agent", "inactive")?;
    guest.run("systemctl --quiet enable --now backstay-server")?;
    enroll(&mut guest)?;
    guest.run("printf 'disks = [\"/dev/vdb\"]\\nevery = \"3s\"\\n' >>/etc/backstay/agent.toml")?;
    // What is known of changed disks is kept from the next restart on: from here, in this machine.
    guest.run("systemctl start backstay-marks && systemctl start backstay-agent")?;
    write(&mut guest, FOLDERS, 1)?;
    more_points(&mut guest, 0, 3)?;

    let upgraded = goes_on(&mut guest, "an upgrade", |guest| install(guest, "next"))?;
    let restarted = goes_on(&mut guest, "a restart", |guest| {
        guest.shut_down()?;
        guest.power_on()?;
        write(guest, FOLDERS, 10_000)
    })?;
    judge(&mut guest)?;

    // Removed, nobody follows the disk any more; what it was known by stays until it is purged.
    guest.run("dpkg --remove backstay-agent && test -e /var/lib/backstay/agent/server.json")?;
    guest.run("! ls /sys/fs/bpf/backstay* && dpkg --purge backstay-agent && test ! -e /var/lib/backstay/agent")?;
    is(&mut guest, "backstay-server", "active")?;
    guest.shut_down()?;
    Ok(format!(
        "points after an upgrade read {} MiB at most, of 60 and more, after a restart {} MiB; nothing was compared",
        upgraded >> 20,
        restarted >> 20
    ))
}

/// Installs the packages of a version.
fn install(guest: &mut Guest<'_>, version: &str) -> Result<()> {
    guest.run(&format!("DEBIAN_FRONTEND=noninteractive dpkg --install /tools/packages/{version}/*.deb")).map(drop)
}

/// What systemd says of a service, after a while in which it may change.
fn is(guest: &mut Guest<'_>, unit: &str, expected: &str) -> Result<()> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let said = guest.ask(&format!("systemctl is-active {unit}"))?.said;
        if said.trim() == expected {
            return Ok(());
        }
        if Instant::now() > patience {
            let log = guest.run(&format!("systemctl status --no-pager --lines 40 {unit} || true"))?;
            return Err(Fail::new(format!("{unit} is {}, not {expected}:\n{log}", said.trim())));
        }
        guest.run("sleep 2")?;
    }
}

/// The first administrator, an operator who is logged in, and this machine enrolled with a code of hers.
fn enroll(guest: &mut Guest<'_>) -> Result<()> {
    let said = guest.run("journalctl --boot --unit backstay-server --output cat")?;
    let told = |what: &str| {
        let found =
            said.lines().find_map(|line| line.strip_prefix(what)).and_then(|rest| rest.split_whitespace().last());
        found.map(str::to_owned).ok_or_else(|| Fail::new(format!("the server's journal says no {what}:\n{said}")))
    };
    let (authority, code) = (told("authority")?, told("setup code")?);
    post(guest, "setup", "", &json!({ "code": code, "name": "ada", "password": PASSWORD }))?;
    let session = post(guest, "login", "", &json!({ "name": "ada", "password": PASSWORD }))?;
    let grants = json!([{ "role": "operator", "scope": "all" }]);
    let operator = json!({ "name": "olga", "password": PASSWORD, "grants": grants });
    post(guest, "people", session["csrf"].as_str().unwrap_or_default(), &operator)?;
    let login = format!(
        "echo '{PASSWORD}' >/run/password
        backstay login {SERVER} --authority {authority} --name olga --password-file /run/password"
    );
    guest.run(&login)?;
    let made = guest.run(&format!("backstay enrolments new guest --server {SERVER} --json"))?;
    let made: Value = serde_json::from_str(&made).during(&made)?;
    let code = made["code"].as_str().unwrap_or_default();
    guest.run(&format!("backstay enroll {SERVER} {code}")).map(drop)
}

/// Asks the server as a browser would; answers what it said.
fn post(guest: &mut Guest<'_>, path: &str, csrf: &str, body: &Value) -> Result<Value> {
    let said = guest.run(&format!(
        "curl -sS --fail-with-body --cacert /var/lib/backstay/server/ca/certificate.pem --cookie /run/jar --cookie-jar /run/jar \
         --header 'x-backstay-csrf: {csrf}' {SERVER}/api/v1/{path} --json '{body}'"
    ))?;
    match said.trim() {
        "" => Ok(Value::Null),
        said => serde_json::from_str(said).during(said),
    }
}

/// Whatever is done, both services work afterwards, the timeline goes on by itself, and nothing is compared. Answers how much any
/// point read at most.
fn goes_on(guest: &mut Guest<'_>, what: &str, done: impl FnOnce(&mut Guest<'_>) -> Result<()>) -> Result<u64> {
    let before = guest.run("journalctl --unit backstay-agent --output cat | wc -l")?;
    let there = points(guest)?.len();
    done(guest)?;
    is(guest, "backstay-server", "active")?;
    is(guest, "backstay-agent", "active")?;
    let all = more_points(guest, there, 4)?;
    let after = before.trim().parse::<u64>().during("journalctl")? + 1;
    let said = guest.run(&format!("journalctl --unit backstay-agent --output cat | tail -n +{after}"))?;
    ensure(!said.contains("compar"), || format!("after {what} the disk was compared:\n{said}"))?;
    all_consistent(&all)?;
    let read = all[there..].iter().map(|point| number(point, "read_bytes")).max().unwrap_or_default();
    ensure(read < 50 << 20, || format!("after {what} a point read {read} bytes"))?;
    Ok(read)
}

fn points(guest: &mut Guest<'_>) -> Result<Vec<Value>> {
    let said = guest.ask(&format!("backstay points guest --server {SERVER} --json"))?;
    match said.status {
        0 => serde_json::from_str(&said.said).during(said.said),
        // There is no machine before its first point, and no server while it is started again.
        _ => Ok(Vec::new()),
    }
}

/// Waits until there are so many points more than `than`; answers all.
fn more_points(guest: &mut Guest<'_>, than: usize, more: usize) -> Result<Vec<Value>> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let points = points(guest)?;
        if points.len() >= than + more {
            return Ok(points);
        }
        if Instant::now() > patience {
            let log =
                guest.run("journalctl --boot --no-pager --unit backstay-agent --unit backstay-server | tail -n 60")?;
            return Err(Fail::new(format!("only {} points, {than} were there before\n{log}", points.len())));
        }
        guest.run("sleep 2")?;
    }
}

/// The newest point, of what is now on the disk, restores to what is there.
fn judge(guest: &mut Guest<'_>) -> Result<()> {
    stop_writing(guest)?;
    guest.run("sync")?;
    let there = points(guest)?.len();
    more_points(guest, there, 2)?;
    let settings = "export BACKSTAY_STORE=/var/lib/backstay/server/store BACKSTAY_PASSPHRASE_FILE=/var/lib/backstay/server/keys/store";
    guest
        .run(&format!(
            "set -e
            {settings}
            backstay restore guest:vdb --at latest --to /dev/vdc --yes
            mkdir -p /mnt/look && mount /dev/vdc /mnt/look && umount /mnt/look
            e2fsck -f -n /dev/vdc
            mount -o ro /dev/vdc /mnt/look
            diff -r --no-dereference /srv /mnt/look
            umount /mnt/look"
        ))
        .map(drop)
}
