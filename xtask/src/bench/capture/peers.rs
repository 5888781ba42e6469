//! What a peer needs for the same change of the same disk. It reads the image behind the disk, all of it hot in the page cache.
//!
//! Never knows: our own figures.

use std::fs;
use std::path::Path;

use super::Setting;
use super::disk::{Disk, scatter};
use crate::bench::measure::{settle, timed};
use crate::bench::peers::{Borg, Contender, Place, Restic, Rustic};
use crate::bench::random::Random;
use crate::fail::{During, Result};
use crate::{run, setup};

/// The least seconds of a backup after a change, by each peer.
pub(super) fn backups(setting: &Setting, disk: &Disk, file: &Path) -> Result<Vec<(&'static str, f64)>> {
    let peers: [Box<dyn Contender>; 3] = [Box::new(Rustic(setup::rustic()?)), Box::new(Restic), Box::new(Borg)];
    let mut random = Random::seeded(77);
    let mut found = Vec::new();
    for peer in &peers {
        let place = Place::below(&setting.dir.join(peer.name()));
        fs::create_dir_all(&place.home).during(place.home.display())?;
        // Under the name that peers are told.
        fs::hard_link(disk.image(), &place.image).during(place.image.display())?;
        if let Some(mut init) = peer.init(&place) {
            run::output(&mut init)?;
        }
        timed(&peer.protect(&place))?;
        let mut least = f64::INFINITY;
        for _ in 0..setting.lengths.peers {
            setting.interrupt.check()?;
            scatter(file, setting.lengths.pages, &mut random)?;
            settle(&place.image)?;
            least = least.min(timed(&peer.protect(&place))?.wall.as_secs_f64());
        }
        println!("{}: {least:.2} s", peer.name());
        found.push((peer.name(), least));
        fs::remove_dir_all(&place.dir).during(place.dir.display())?;
    }
    Ok(found)
}
