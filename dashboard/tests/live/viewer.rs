//! What a page makes of frames: a snapshot replaces all it knows, a delta changes fields of the frame before.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The standings by id, each as its fields by name.
pub(crate) type Picture = BTreeMap<String, Map<String, Value>>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) seq: Option<u64>,
    pub(crate) picture: Picture,
    /// The last frame without its standings.
    pub(crate) head: Value,
    pub(crate) snapshots: usize,
    pub(crate) deltas: usize,
}

impl Page {
    pub(crate) fn take(&mut self, text: &str) {
        let frame: Value = serde_json::from_str(text).expect("frames are JSON");
        let seq = frame["seq"].as_u64().expect("a number");
        match frame["kind"].as_str().expect("a text") {
            "snapshot" => {
                self.snapshots += 1;
                self.picture = Picture::new();
            }
            "delta" => {
                self.deltas += 1;
                assert_eq!(Some(seq - 1), self.seq, "a delta applies to the frame before");
            }
            kind => panic!("no such kind: {kind}"),
        }
        for line in frame["standings"].as_array().expect("a list") {
            let id = line["id"].as_str().expect("an id").to_owned();
            self.picture.entry(id).or_default().extend(line.as_object().expect("an object").clone());
        }
        self.seq = Some(seq);
        self.head = frame;
        self.head.as_object_mut().expect("an object").remove("standings");
    }

    pub(crate) fn number(&self, id: &str, field: &str) -> Option<i64> {
        self.picture.get(id)?[field].as_i64()
    }

    pub(crate) fn points(&self, id: &str) -> Option<i64> {
        self.number(id, "points")
    }

    pub(crate) fn link(&self) -> &str {
        self.head["link"].as_str().expect("a text")
    }
}

/// What a snapshot alone shows.
pub(crate) fn picture(text: &str) -> Picture {
    let mut page = Page::default();
    page.take(text);
    assert_eq!(page.snapshots, 1, "a snapshot");
    page.picture
}
