//! What things in a hypervisor are called that are ours: so that they are found again, and nobody else's are touched.
//!
//! A name begins with the tag of a store and machine. What lives only as long as one process has its session in it as well.
//! Node names are cut at 31 bytes by QEMU.
//! Never knows: what the names are given to.

/// Names of one protected machine of one store, and of one process that protects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    tag: String,
    session: String,
}

impl Names {
    /// `tag` stands for store and machine, `session` for the process; both are cut to what fits.
    pub fn new(tag: [u8; 4], session: [u8; 4]) -> Names {
        Names { tag: hex(&tag), session: hex(&session) }
    }

    /// Before all names of this store and machine.
    pub fn all(&self) -> String {
        format!("bs-{}-", self.tag)
    }

    /// Before all names of this process; bitmaps are not among them, for they outlive it.
    pub fn own(&self) -> String {
        format!("bs-{}-{}-", self.tag, self.session)
    }

    /// Before the names of the claims of this store and machine.
    pub fn claims(&self) -> String {
        format!("{}claim-", self.all())
    }

    /// The name of this process's claim; it lasts longer than what is held for a point.
    pub fn claim(&self) -> String {
        format!("{}{}", self.claims(), self.session)
    }

    /// The name of a part of what is held of a disk.
    pub fn part(&self, what: Part, disk: usize) -> String {
        let letter = match what {
            Part::File => 'f',
            Part::Fleece => 'q',
            Part::Filter => 't',
            Part::Job => 'j',
            Part::Create => 'c',
            Part::Export => 'e',
        };
        format!("{}{letter}{disk}", self.own())
    }

    /// The name of a bitmap.
    pub fn bitmap(&self, unique: [u8; 16]) -> String {
        format!("{}bitmap-{}", self.all(), hex(&unique))
    }

    /// Whether something is a bitmap of this store and machine.
    pub fn is_bitmap(&self, name: &str) -> bool {
        name.strip_prefix(&self.all()).is_some_and(|rest| rest.starts_with("bitmap-"))
    }
}

/// What is held of a disk consists of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The file with blocks saved from being overwritten, as a node.
    File,
    /// The format on it: the disk as it was.
    Fleece,
    /// Sits before the disk and saves blocks.
    Filter,
    /// Keeps the filter in place.
    Job,
    /// Makes the format.
    Create,
    /// What is read from.
    Export,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_their_process_or_of_all() {
        let one = Names::new([1; 4], [2; 4]);
        let other = Names::new([1; 4], [3; 4]);
        let job = one.part(Part::Job, 12);
        assert!(job.starts_with(&other.all()) && !job.starts_with(&other.own()) && job.len() <= 31);
        assert!(one.claim().starts_with(&other.claims()) && !one.claim().starts_with(&one.own()));
        let bitmap = one.bitmap([9; 16]);
        assert!(other.is_bitmap(&bitmap) && !bitmap.starts_with(&one.own()));
        assert!(!other.is_bitmap(&job) && !Names::new([7; 4], [2; 4]).is_bitmap(&bitmap));
    }
}
