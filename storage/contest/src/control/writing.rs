//! From a control document to its JSON. What has its default value and is newer than the first documents is left
//! out, so that programs of their time read as much as they can.

use super::Control;
use crate::timeline::Timeline;
use serde_json::{Map, Value, json};

pub(super) fn control(control: &Control) -> Value {
    let mut document = control.contest.to_json();
    document["dialect"] = control.dialect().into();
    document["revision"] = control.revision.into();
    document["round"] = control.round.map(|round| round.to_string()).into();
    document["state"] = control.state.as_str().into();
    let ids: Map<String, Value> = control.ids.iter().map(|(name, id)| (name.clone(), id.clone().into())).collect();
    document["ids"] = ids.into();
    if !control.since.is_empty() {
        let since: Map<String, Value> = control.since.iter().map(|(name, at)| (name.clone(), at.0.into())).collect();
        document["since"] = since.into();
    }
    document["split"] = control.split.clone().into();
    if !control.scored {
        document["scored"] = false.into();
    }
    timeline(&mut document, &control.timeline);
    if !control.parked.is_empty() {
        document["parked"] = control.parked.iter().cloned().collect();
    }
    if control.halted {
        document["halted"] = true.into();
    }
    if !control.left_out.is_empty() {
        document["left_out"] = control.left_out.iter().cloned().collect();
    }
    if !control.earlier.is_empty() {
        let earlier = control.earlier.iter().map(|earlier| {
            json!({
                "round": earlier.round.to_string(),
                "until": earlier.until,
                "generators": earlier.generators,
            })
        });
        document["earlier"] = earlier.collect();
    }
    document
}

fn timeline(document: &mut Value, timeline: &Timeline) {
    if let Some(start) = timeline.start_at {
        document["start_at"] = start.0.into();
    }
    if !timeline.pauses.is_empty() {
        document["pauses"] =
            timeline.pauses.iter().map(|pause| json!({ "from": pause.from, "to": pause.to })).collect();
    }
    if !timeline.moved.is_empty() {
        let moved = timeline.moved.iter();
        document["moved"] =
            moved.map(|moved| json!({ "deadline": moved.deadline.as_str(), "at": moved.at, "to": moved.to })).collect();
    }
    if !timeline.splits.is_empty() {
        let splits = timeline.splits.iter();
        document["splits"] =
            splits.map(|split| json!({ "from": split.from, "generators": split.generators })).collect();
    }
    if !timeline.joins.is_empty() {
        let joins = timeline.joins.iter();
        document["joins"] = joins.map(|join| json!({ "contestant": join.contestant, "at": join.at })).collect();
    }
    if let Some(stopped) = timeline.stopped_at {
        document["stopped_at"] = stopped.0.into();
    }
}
