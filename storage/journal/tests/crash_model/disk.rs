//! A disk of memory that forgets what was not synced.

use crate::common::Rng;
use flowtest_journal::log::Step;
use std::collections::BTreeMap;
use std::path::Path;

const SECTOR: usize = 512;

/// One stream's folder.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: BTreeMap<u32, File>,
}

#[derive(Clone, Debug, Default)]
struct File {
    /// What a crash leaves for certain.
    synced: Vec<u8>,
    /// What happened since.
    pending: Vec<Change>,
    name: Name,
}

/// How certain a file's name is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Name {
    /// Made since the folder was synced.
    #[default]
    New,
    Synced,
    /// Removed since the folder was synced.
    Removed {
        was_synced: bool,
    },
}

#[derive(Clone, Debug)]
enum Change {
    Size(usize),
    Bytes { at: usize, bytes: Vec<u8> },
}

/// A step that did not succeed.
#[derive(Debug)]
pub(crate) struct Failed;

impl Disk {
    /// Does a step, or fails it: then any part of it may have happened.
    pub(crate) fn run(&mut self, step: &Step<'_>, fails: bool, rng: &mut Rng) -> Result<(), Failed> {
        match step {
            Step::Create { index, size } => {
                let replaced = self.files.insert(*index, File::default());
                assert!(replaced.is_none(), "segment {index} is made twice");
                if !fails {
                    self.file(*index).pending.push(Change::Size(*size as usize));
                }
            }
            Step::Write { index, at, bytes } => {
                let at = *at as usize;
                let file = self.file(*index);
                let there = file.synced.get(at..at + bytes.len()).unwrap_or_default();
                assert!(there.iter().all(|byte| *byte == 0), "synced bytes are written again");
                let change = Change::Bytes { at, bytes: bytes.to_vec() };
                if fails {
                    file.pending.extend(sectors(change).into_iter().filter(|_| rng.one_in(2)));
                } else {
                    file.pending.push(change);
                }
            }
            Step::Cut { index, len } => {
                let len = *len as usize;
                let file = self.file(*index);
                assert!(file.view().len() >= len, "a cut never makes a file longer");
                file.pending.push(Change::Size(len));
                return Ok(());
            }
            Step::Sync { index } => {
                let file = self.file(*index);
                if fails {
                    // The kernel has dropped what it could not write, and says so only this once.
                    file.crash(rng);
                } else {
                    file.settle();
                }
            }
            Step::SyncFolder if fails => {}
            Step::SyncFolder => self.sync_names(),
        }
        if fails { Err(Failed) } else { Ok(()) }
    }

    pub(crate) fn remove(&mut self, index: u32) {
        let file = self.file(index);
        file.name = Name::Removed { was_synced: file.name == Name::Synced };
    }

    /// The power goes: of all that was not synced, anything may be left.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        self.files.retain(|_, file| match file.name {
            Name::Synced => true,
            Name::New | Name::Removed { .. } => rng.one_in(2),
        });
        for file in self.files.values_mut() {
            file.crash(rng);
            file.name = Name::Synced;
        }
    }

    /// What `settle` does before a stream is adopted.
    pub(crate) fn settle(&mut self) {
        self.files.values_mut().for_each(File::settle);
        self.sync_names();
    }

    /// Lays the files out as a reader sees them.
    pub(crate) fn show(&self, folder: &Path) {
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(folder.join("lock"), b"").expect("a lock");
        for (index, file) in self.files.iter().filter(|(_, file)| !matches!(file.name, Name::Removed { .. })) {
            std::fs::write(folder.join(format!("{index:06}.ftj")), file.view()).expect("a segment");
        }
    }

    fn file(&mut self, index: u32) -> &mut File {
        self.files.get_mut(&index).expect("the segment is there")
    }

    fn sync_names(&mut self) {
        self.files.retain(|_, file| !matches!(file.name, Name::Removed { .. }));
        self.files.values_mut().for_each(|file| file.name = Name::Synced);
    }
}

impl File {
    /// What a reader sees while the machine runs.
    fn view(&self) -> Vec<u8> {
        let mut view = self.synced.clone();
        self.pending.iter().for_each(|change| change.apply(&mut view));
        view
    }

    fn settle(&mut self) {
        self.synced = self.view();
        self.pending.clear();
    }

    /// Any of what is pending happened, by sectors. Whether a change of size did is one question.
    fn crash(&mut self, rng: &mut Rng) {
        let mode = rng.below(8);
        for change in std::mem::take(&mut self.pending) {
            for part in sectors(change) {
                // none, all, or any half of it
                if mode == 1 || (mode > 1 && rng.one_in(2)) {
                    part.apply(&mut self.synced);
                }
            }
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Size(size) => bytes.resize(*size, 0),
            Change::Bytes { at, bytes: new } => {
                // A lost size takes what was written behind it along.
                let end = (at + new.len()).min(bytes.len());
                if let Some(place) = bytes.get_mut(*at..end) {
                    place.copy_from_slice(&new[..place.len()]);
                }
            }
        }
    }
}

fn sectors(change: Change) -> Vec<Change> {
    match change {
        Change::Size(_) => vec![change],
        Change::Bytes { at, bytes } => bytes
            .chunks(SECTOR)
            .enumerate()
            .map(|(number, part)| Change::Bytes { at: at + number * SECTOR, bytes: part.to_vec() })
            .collect(),
    }
}
