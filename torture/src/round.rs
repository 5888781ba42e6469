//! One round: a world is made, kept busy, captured and disturbed; then everything is ended, and every point judged.
//!
//! Never knows: what comes before or after.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::disturb::{Copied, Disturber, LONGEST_FREEZE};
use crate::fail::{During, Fail, Result};
use crate::judge::Judge;
use crate::load::{Load, Witness, fio, mariadb, postgres, scratch, shape, stress, tree};
use crate::product::{Point, Product};
use crate::report::Report;
use crate::tools::Stop;
use crate::world::World;
use crate::world::disk::{Loop, Mount, sparse};
use crate::world::plan::{Plan, Use};

/// Bytes of the file system that the store lies on.
const STORE: u64 = 8 << 30;
/// A point so often; the shorter, the more points there are to judge.
const EVERY: &str = "2s";

/// What a round is told.
pub(crate) struct Round<'a> {
    pub(crate) program: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    /// How long loads are at work.
    pub(crate) load: Duration,
    pub(crate) stop: &'a Stop,
}

/// A store on a file system of its own, which can be full.
struct Shelf {
    mount: Mount,
    _disk: Loop,
}

impl Shelf {
    fn make(folder: &Path) -> Result<Shelf> {
        let image = folder.join("shelf");
        sparse(&image, STORE)?;
        let disk = Loop::attach(&image, 512, false)?;
        crate::tools::run("mkfs.ext4", ["-q", "-m", "0", "-O", "^has_journal", crate::tools::text(disk.path())])?;
        Ok(Shelf { mount: Mount::new(disk.path(), &folder.join("shelved"), "rw")?, _disk: disk })
    }
}

/// Ends marking in the kernel, whatever happens.
struct Following<'a> {
    product: &'a Product,
    disks: Vec<PathBuf>,
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        let disks: Vec<&Path> = self.disks.iter().map(PathBuf::as_path).collect();
        if let Err(cause) = self.product.unfollow(&disks) {
            eprintln!("torture: marking could not be ended: {cause}");
        }
    }
}

impl Round<'_> {
    /// Runs it. What fails is in the report.
    pub(crate) fn run(&self, report: &mut Report) {
        let mut chance = Chance::of(self.seed);
        let plan = Plan::of(self.name, &mut chance);
        report.say(&format!("{}, seed {}", plan.shown(), self.seed));
        let outcome = std::fs::create_dir_all(self.folder)
            .during("a folder")
            .and_then(|()| self.in_folder(&plan, &mut chance, report));
        if let Err(cause) = outcome
            && !self.stop.asked()
        {
            let logs = [self.folder.join("home"), self.folder.join("logs")];
            report.failed(self.called(&plan), cause.to_string(), &logs);
        }
        report.round(self.name);
        if let Err(cause) = std::fs::remove_dir_all(self.folder) {
            report.say(&format!("{} is left over: {cause}", self.folder.display()));
        }
    }

    fn called(&self, plan: &Plan) -> (String, &'static str, u64) {
        (plan.shown(), self.name, self.seed)
    }

    fn in_folder(&self, plan: &Plan, chance: &mut Chance, report: &mut Report) -> Result<()> {
        let logs = self.folder.join("logs");
        std::fs::create_dir_all(&logs).during("a folder")?;
        let shelf = Shelf::make(self.folder)?;
        let shelved = shelf.mount.folder();
        let product = Product::new(self.program, &shelved.join("store"), &self.folder.join("home"))?;
        let mut world = World::make(plan, self.folder, chance)?;
        let disks: Vec<PathBuf> = world.disks().iter().map(|disk| disk.path().to_owned()).collect();
        let names = world.disks().iter().map(Loop::name).collect();
        let judge = Judge { plan, product: &product, disks: names, folder: self.folder.to_owned() };
        let following = Following { product: &product, disks: disks.clone() };
        let (mut loads, mut witnesses) = self.loads(plan, &world, &logs, chance)?;
        let freeze = format!("{}ms", LONGEST_FREEZE.as_millis());
        let mut options = ["--every", EVERY, "--max-freeze", &freeze].map(str::to_owned).to_vec();
        options.extend(self.applications(plan));
        options.extend(plan.all_blocks.then(|| "--all-blocks".to_owned()));
        let copier = world.copier(self.folder);
        let probed = world.volume(0)?.mount.folder().to_owned();
        let mut disturber = Disturber::start(&product, disks, options, &probed, (shelved, copier), self.stop)?;
        let (begun, mut outcome) = (Instant::now(), Ok(()));
        while outcome.is_ok() && begun.elapsed() < self.load && !self.stop.asked() {
            outcome = disturber.disturb(chance).and_then(|()| loads.iter_mut().try_for_each(|load| load.check()));
        }
        disturber.end_probe();
        loads.iter_mut().try_for_each(|load| load.stop())?;
        drop(loads);
        outcome?;
        world.unmount()?;
        self.stop.check()?;
        disturber.finish()?;
        report.add(&disturber.counts, disturber.rescans(), disturber.longest);
        let points = product.points()?;
        if plan.all_blocks {
            self.same(plan, &judge, &points, &world, report);
            self.same_as_copied(plan, &judge, &points, disturber.copied(), report);
        }
        drop(following);
        drop(world);
        self.judge(plan, &judge, &points, &mut witnesses, report)?;
        product.check()?;
        report.agreed("backstay check --read-data");
        Ok(())
    }

    /// Options that name the servers that are told. When they have ended, points are made all the same.
    fn applications(&self, plan: &Plan) -> Vec<String> {
        let of = |used: &Use| match used {
            Use::Postgres(_) if plan.tells => vec!["--postgres".into(), postgres::connection(self.folder)],
            Use::MariaDb(_) if plan.tells => vec!["--mariadb".into(), mariadb::connection(self.folder)],
            _ => Vec::new(),
        };
        plan.uses.iter().flat_map(of).collect()
    }

    #[allow(clippy::type_complexity)] // two lists
    fn loads(
        &self,
        plan: &Plan,
        world: &World,
        logs: &Path,
        chance: &mut Chance,
    ) -> Result<(Vec<Box<dyn Load>>, Vec<Box<dyn Witness>>)> {
        let (mut loads, mut witnesses): (Vec<Box<dyn Load>>, Vec<Box<dyn Witness>>) = (Vec::new(), Vec::new());
        for used in &plan.uses {
            let folder = |volume: usize| world.volume(volume).map(|volume| volume.mount.folder());
            let part = |number: u32| world.disks()[0].part(number);
            let both = match *used {
                Use::Tree(volume) => Some(tree::start(volume, folder(volume)?, 2, chance)?),
                Use::Fio(volume) => Some(fio::start(volume, folder(volume)?, logs, chance)?),
                Use::Postgres([data, log]) => {
                    Some(postgres::start([(data, folder(data)?), (log, folder(log)?)], self.folder, logs)?)
                }
                Use::MariaDb(volume) => Some(mariadb::start((volume, folder(volume)?), self.folder, logs)?),
                Use::Scratch(number) => {
                    let disk = world.disks()[0].path().to_owned();
                    Some(scratch::scratch((disk, number), self.folder.join("scratched"), chance.split()))
                }
                Use::Stress(volume) => {
                    loads.push(stress::start(folder(volume)?, logs, chance)?);
                    None
                }
                Use::Shape(number) => {
                    let volume = world.volume(number)?;
                    let (device, mounted) = (volume.device.clone(), volume.mount.folder().to_owned());
                    loads.push(shape::start(plan.volumes[number].kind, device, mounted, volume.room, chance.split()));
                    None
                }
                Use::Swap(number) => {
                    loads.push(scratch::swap(part(number), chance.split()));
                    None
                }
            };
            if let Some((load, witness)) = both {
                loads.push(load);
                witnesses.push(witness);
            }
        }
        Ok((loads, witnesses))
    }

    /// The last point is of disks to which nothing was written since.
    fn same(&self, plan: &Plan, judge: &Judge<'_>, points: &[Point], world: &World, report: &mut Report) {
        let Some(last) = points.last() else { return };
        let disks = world.disks();
        match judge.same(last, disks) {
            Ok(()) => report.agreed("the whole disk, byte for byte"),
            Err(cause) => {
                let mut keep: Vec<PathBuf> = (0..disks.len()).map(|disk| judge.image(disk)).collect();
                keep.extend((0..disks.len()).map(|disk| world.image(self.folder, disk)));
                keep.push(self.folder.join("home"));
                report.failed(self.called(plan), cause.to_string(), &keep);
            }
        }
    }

    /// What was copied amid a freeze is the point that came of it, if one came.
    fn same_as_copied(&self, plan: &Plan, judge: &Judge<'_>, points: &[Point], copied: &[Copied], report: &mut Report) {
        for Copied { moments: (after, before), images } in copied {
            let Some(point) = points.iter().find(|point| *after < point.at && point.at <= *before) else {
                report.agreed("nobody: of a freeze that was copied no point came");
                continue;
            };
            match judge.same_as(point, images) {
                Ok(()) => report.agreed("the disks as they were amid the freeze, byte for byte"),
                Err(cause) => {
                    let mut keep: Vec<PathBuf> = (0..images.len()).map(|disk| judge.image(disk)).collect();
                    keep.extend(images.iter().cloned());
                    keep.push(self.folder.join("home"));
                    report.failed(self.called(plan), format!("point {}: {cause}", point.number), &keep);
                }
            }
        }
    }

    fn judge(
        &self,
        plan: &Plan,
        judge: &Judge<'_>,
        points: &[Point],
        witnesses: &mut [Box<dyn Witness>],
        report: &mut Report,
    ) -> Result<()> {
        let (mut judged, before) = (0, Instant::now());
        if !self.applications(plan).is_empty() && !points.iter().any(Point::told) {
            return Err(Fail::new("no point says that a database was told of its freeze"));
        }
        for point in points {
            self.stop.check()?;
            // While it was held still, something was written past file systems: that is no fault of those.
            if !point.consistent && !point.note.contains("written while held still") {
                report.fuzzy();
                continue;
            }
            match judge.point(point, witnesses, |who| report.agreed(who)) {
                Ok(()) => {
                    report.judged();
                    if point.told() {
                        report.agreed("a database that was told");
                    }
                }
                Err(cause) => {
                    let mut keep: Vec<PathBuf> = (0..plan.disks.len()).map(|disk| judge.image(disk)).collect();
                    keep.extend([self.folder.join("home"), self.folder.join("logs")]);
                    report.failed(
                        self.called(plan),
                        format!("point {} of {}: {cause}", point.number, point.time),
                        &keep,
                    );
                }
            }
            judged += 1;
        }
        report.say(&format!("  {judged} of {} points judged in {} s", points.len(), before.elapsed().as_secs()));
        Ok(())
    }
}
