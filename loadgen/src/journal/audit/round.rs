//! One round: its streams beside each other, against their traces, and against Redis. Decides what is a difference.

use super::beginning::Beginning;
use super::compare::{self, Difference};
use super::finding::{Finding, Kind};
use super::redis::{HeldRound, HeldStream};
use super::shares;
use super::steps::{self, Steps};
use super::stream::{Halves, Snapshot, Stream, StreamStanding, Sums};
use crate::journal::folders;
use flowtest_contest::State;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::text::{percent, shown};
use flowtest_contract::{RoundId, Row, StreamId, Tally};
use flowtest_journal::stream::Tail;
use std::collections::HashSet;

/// Differences of one stream that are told one by one: where one row is wrong, all may be.
const TOLD_MAX: usize = 100;
/// Rounds of which no folder is here that are told by their ids.
const ELSEWHERE_MAX: usize = 10;
/// Stretches of time in which two streams held a request in common that are looked at: each costs a reading of both.
const COMMON_MAX: usize = 16;

/// Everything there is to say about a round.
pub fn findings(round: RoundId, streams: &[Stream], held: Option<&HeldRound>) -> Vec<Finding> {
    let mut notes = Notes { round, findings: Vec::new() };
    for stream in streams {
        notes.standing(stream);
        notes.itself(stream);
        notes.traces(stream);
    }
    notes.agreement(streams);
    notes.shares(streams);
    notes.steps(streams, held);
    if let Some(held) = held {
        notes.redis(streams, held);
    }
    notes.findings
}

/// What Redis holds of a round of which no stream is left.
pub fn without_streams(round: RoundId, held: &HeldRound) -> Vec<Finding> {
    let mut notes = Notes { round, findings: Vec::new() };
    notes.redis(&[], held);
    notes.findings
}

/// What Redis holds of rounds of which no folder was named. That they are missing is one finding: to a copy of one round, all
/// others are.
pub fn elsewhere<'a>(rounds: impl Iterator<Item = (&'a RoundId, &'a HeldRound)>, here: &[Stream]) -> Vec<Finding> {
    let (mut missing, mut findings) = (Vec::new(), Vec::new());
    for (round, held) in rounds {
        // Where one has come since, that is what is to be told.
        let has_come = held.streams.values().any(|stream| stream.is_new);
        let (without, others): (Vec<Finding>, Vec<Finding>) =
            without_streams(*round, held).into_iter().partition(|it| it.kind == Kind::NoJournal && !has_come);
        missing.extend(without.iter().any(|finding| finding.difference).then(|| round.to_string()));
        findings.extend(others.into_iter().filter(|finding| finding.kind != Kind::RedisState));
    }
    let what = match missing.as_slice() {
        [] => return findings,
        [round] => format!("round {round}"),
        rounds if rounds.len() <= ELSEWHERE_MAX => format!("{} rounds ({})", rounds.len(), rounds.join(", ")),
        rounds => format!("{} rounds ({}, ..)", rounds.len(), rounds[..ELSEWHERE_MAX].join(", ")),
    };
    let own = here.first().and_then(|stream| stream.folder.path.parent()).map(shown);
    let own =
        own.map_or_else(String::new, |own| format!(", or this round's own folder, to audit it alone: --journal {own}"));
    let text = format!("Redis counts {what} of which no folder is here: name those of all generators{own}");
    findings.push(Finding::of_all(Kind::NoJournal, true, text));
    findings
}

struct Notes {
    round: RoundId,
    findings: Vec<Finding>,
}

impl Notes {
    fn note(&mut self, kind: Kind, difference: bool, stream: Option<StreamId>, text: String) -> &mut Finding {
        let (round, stream) = (Some(self.round.to_string()), stream.map(|stream| stream.to_string()));
        self.findings.push(Finding { round, stream, ..Finding::of_all(kind, difference, text) });
        self.findings.last_mut().expect("it was pushed")
    }

    /// How the stream ended, and what that cost.
    fn standing(&mut self, stream: &Stream) {
        let (id, tail) = (stream.folder.stream, folders::describe(&stream.found.tail));
        let subject = format!("stream {id}");
        match &stream.found.tail {
            Tail::Damaged { .. } => {
                let after = stream.found.last_seq;
                let text = format!("{subject} {tail}; nothing after group {after} counts here");
                self.note(Kind::Damaged, true, Some(id), text);
            }
            // What a live writer is writing just now looks torn.
            Tail::Torn { .. } if stream.standing != StreamStanding::Live => {
                self.note(Kind::Torn, false, Some(id), format!("{subject} {tail}"));
            }
            _ => {}
        }
        let until = stream.proved_until.map_or_else(|| "its start".to_owned(), folders::instant);
        match stream.standing {
            StreamStanding::Ended => {}
            StreamStanding::Live => {
                let text = format!("{subject} is being written; it is audited until {until}");
                self.note(Kind::Live, false, Some(id), text);
            }
            StreamStanding::NeverBegan => {
                let text = format!("{subject} was never begun: its process died before it sent anything");
                self.note(Kind::NeverBegan, false, Some(id), text);
            }
            StreamStanding::Killed { closed } => {
                let in_flight = in_flight(stream);
                let text = format!(
                    "{subject} was cut off{}: it is proved until {until}, its last open interval is lost (as a rule at \
                     most 100 ms), and {in_flight} requests were in flight then",
                    if closed { " and given its end marker later" } else { "" }
                );
                self.note(Kind::Killed, false, Some(id), text).journal = Some(in_flight);
            }
        }
    }

    /// Whether the stream's batches make sense by themselves.
    fn itself(&mut self, stream: &Stream) {
        let id = stream.folder.stream;
        for oddity in &stream.oddities {
            self.note(Kind::Odd, true, Some(id), format!("stream {id}: {oddity}"));
        }
        if stream.traced != stream.traced_said {
            let (traced, said) = (stream.traced, stream.traced_said);
            let text = format!("stream {id} holds {traced} traces, and its batches say that there are {said}");
            let finding = self.note(Kind::Traces, true, Some(id), text);
            (finding.journal, finding.other) = (Some(said), Some(traced));
        }
        let ended = stream.standing == StreamStanding::Ended;
        for (name, halves) in named(stream, &stream.batches) {
            for row in halves.iter().flat_map(|halves| halves.iter()) {
                let tally = &row.tally;
                let (due, settled, answers) = (tally.due, tally.settled(), tally.responses());
                let whole = if ended { due == settled } else { due >= settled };
                let alike = [tally.version_right + tally.version_wrong, tally.from_right + tally.from_wrong];
                if !whole || alike != [answers; 2] {
                    let text = format!(
                        "stream {id}, {name}: {due} came due, {settled} have an outcome, {answers} were answered, with \
                         {} versions and {} platforms judged; these do not fit together",
                        alike[0], alike[1]
                    );
                    self.note(Kind::Partition, true, Some(id), text).contestant = Some(name.to_owned());
                }
            }
        }
    }

    /// Whether batches and traces say the same.
    fn traces(&mut self, stream: &Stream) {
        let id = stream.folder.stream;
        let untraced = stream.untraced > 0;
        let open = stream.standing != StreamStanding::Ended;
        let settled = |sums: &Sums| rows(sums).map(|row| row.tally.settled()).fold(0, u64::saturating_add);
        let (outcomes, judged) = (settled(&stream.batches), settled(&stream.traces));
        if untraced {
            let text = format!(
                "stream {id}: {} of {outcomes} outcomes left no trace, so that only {} of its score is proved",
                stream.untraced,
                percent(judged, outcomes)
            );
            self.note(Kind::Untraced, false, Some(id), text).other = Some(stream.untraced);
        }
        if judged.checked_add(stream.untraced) != Some(outcomes) {
            let text = format!(
                "stream {id}: its batches count {outcomes} outcomes, and {judged} traces and {} outcomes without one \
                 make another sum",
                stream.untraced
            );
            let finding = self.note(Kind::Traces, true, Some(id), text);
            (finding.journal, finding.other) = (Some(outcomes), Some(judged));
        }
        let (mut told, nothing) = (0, Halves::default());
        for ((name, batches), traces) in named(stream, &stream.batches).zip(&stream.traces) {
            if batches.is_none() && traces.is_none() {
                continue;
            }
            let [batches, traces] = [batches, traces].map(|halves| halves.as_deref().unwrap_or(&nothing));
            for (half, (ours, theirs)) in ["unscored ", ""].into_iter().zip(batches.iter().zip(traces)) {
                for difference in compare::with_traces(ours, theirs, untraced, open) {
                    told += 1;
                    if told <= TOLD_MAX {
                        let text = format!(
                            "stream {id}, {name}: the batches say {half}{} {}, and the traces {}",
                            difference.field, difference.ours, difference.theirs
                        );
                        self.field(Kind::Traces, id, name, &difference, text);
                    }
                }
            }
        }
    }

    fn field(&mut self, kind: Kind, stream: StreamId, contestant: &str, difference: &Difference, text: String) {
        let finding = self.note(kind, true, Some(stream), text);
        finding.contestant = Some(contestant.to_owned());
        finding.field = Some(difference.field.clone());
        (finding.journal, finding.other) = (Some(difference.ours), Some(difference.theirs));
    }

    /// Whether what the generator says of its seconds can be so, by the stream's own records.
    fn validity(&mut self, stream: &Stream, held: &HeldStream) {
        let (Some(proved), Some(told)) = (stream.seconds, held.validity) else { return };
        let word = told.counts;
        let id = stream.folder.stream;
        let said = format!("stream {id} says that {} of {} scored seconds are valid", word.valid_seconds, word.seconds);
        let is_whole = stream.standing == StreamStanding::Ended && held.end.is_some();
        let wrong = proved.wrong(told, is_whole);
        for why in &wrong {
            let finding = self.note(Kind::Validity, true, Some(id), format!("{said}: {why}"));
            (finding.journal, finding.other) = (Some(proved.invalid_least), Some(word.invalid_seconds()));
        }
        let is_of_before = is_whole && !proved.is_of_all(word);
        if wrong.is_empty() && (!word.is_flawless() || proved.invalid_least > 0 || is_of_before) {
            let of_before = if is_of_before { ", before it ended" } else { "" };
            let (least, most) = (proved.invalid_least, proved.invalid_most.min(proved.seconds));
            let text = format!("{said}{of_before}; by its late windows and traces {least} to {most} are not");
            self.note(Kind::Validity, false, Some(id), text);
        }
    }

    /// Whether the streams are of one contest.
    fn agreement(&mut self, streams: &[Stream]) {
        let mut begun = streams.iter().filter_map(|stream| stream.beginning.as_ref().map(|first| (stream, first)));
        let Some((one, first)) = begun.next() else { return };
        for (stream, beginning) in begun {
            let disagree = if beginning.contest != first.contest {
                "the contest"
            } else if beginning.rules != first.rules {
                "the rules"
            } else if !is_one_roster(beginning, first) {
                "the roster"
            } else if beginning.deadlines != first.deadlines || end_apart(one, stream) {
                "the deadlines"
            } else {
                continue;
            };
            let (id, other) = (stream.folder.stream, one.folder.stream);
            let text = format!("streams {other} and {id} of one round disagree about {disagree}");
            self.note(Kind::Terms, true, Some(id), text);
        }
    }

    /// Whether each request was one stream's at a time.
    fn shares(&mut self, streams: &[Stream]) {
        for (place, one) in streams.iter().enumerate() {
            for other in &streams[place + 1..] {
                let both = |(from, to): &(UtcUs, UtcUs)| {
                    [one, other].iter().all(|stream| shares::sends_within(&stream.folder, *from, *to))
                };
                let common = shares::in_common(&one.shares, &other.shares);
                let Some((from, to)) = common.into_iter().take(COMMON_MAX).find(both) else { continue };
                let [ours, theirs] = [one, other].map(|stream| stream.folder.stream);
                let text = format!(
                    "streams {ours} and {theirs} held requests in common from {} to {}, and both sent: what was due then was \
                     sent twice, and counts twice",
                    folders::instant(from),
                    folders::instant(to)
                );
                self.note(Kind::ShareTwice, true, Some(theirs), text);
            }
        }
    }

    /// Whether the steps of breakpoint phases were decided as their figures say.
    fn steps(&mut self, streams: &[Stream], held: Option<&HeldRound>) {
        let Steps { decisions, mut wrong, undecided, parts, is_unproved } = steps::audit(streams);
        // Where Redis does not know the round at all, that is told.
        if let Some(held) = held.filter(|held| held.state.is_some()) {
            let is_live = streams.iter().any(|stream| stream.standing == StreamStanding::Live);
            let is_sealed = held.state == Some(State::Sealed);
            let forgotten = if is_sealed { steps::forgotten(&decisions, &held.steps) } else { 0 };
            wrong.extend(steps::compare_held(&decisions, &held.steps, is_live, forgotten));
            if forgotten > 0 {
                let text = format!(
                    "Redis has forgotten what was decided of {forgotten} steps of the sealed round, as it does after a week: \
                     `rebuild` puts it back"
                );
                self.note(Kind::Steps, false, None, text);
            }
        }
        if let Some(planned) = undecided {
            let text = format!(
                "the plan has {planned} steps of a breakpoint, and no journal here has a decision: nothing proves what anybody holds"
            );
            self.note(Kind::Steps, false, None, text);
        }
        for message in wrong.iter().take(TOLD_MAX) {
            self.note(Kind::Steps, true, None, message.clone());
        }
        let decisions = decisions.len();
        if decisions > 0 && wrong.is_empty() {
            let by = if is_unproved { "what they say was counted, which no trace proves" } else { "the traces" };
            let part = match parts {
                0 => String::new(),
                parts => format!(
                    "; {parts} times a contestant's figures were a part of what the traces say, and judged nobody"
                ),
            };
            let text =
                format!("{decisions} steps of the breakpoint were decided again by {by}: all are the same{part}");
            self.note(Kind::Steps, false, None, text);
        }
    }

    fn redis(&mut self, streams: &[Stream], held: &HeldRound) {
        let round = self.round;
        for junk in &held.junk {
            self.note(Kind::RedisOdd, true, None, format!("Redis says of round {round} what makes no sense: {junk}"));
        }
        let Some(state) = held.state else {
            if streams.iter().any(|stream| stream.last_counted > 0 && stream.standing != StreamStanding::Live) {
                let text = format!("Redis does not know round {round}: `rebuild` publishes it");
                self.note(Kind::NotInRedis, true, None, text);
            }
            self.without_journals(streams, held);
            return;
        };
        let sealed = state == State::Sealed;
        let text = if sealed { "sealed".to_owned() } else { format!("{state}, not sealed") };
        self.note(Kind::RedisState, false, None, format!("round {round} is {text} in Redis"));
        for stream in streams {
            match held.streams.get(&stream.folder.stream) {
                Some(held) => self.held(stream, held, sealed),
                // One that was given up while the round was being armed here, or never began; or that has joined the round since
                // it was read.
                None if stream.last_counted == 0 || stream.standing == StreamStanding::Live => {}
                None => {
                    let id = stream.folder.stream;
                    let text = format!("Redis does not know stream {id}: {}", remedy(sealed));
                    self.note(Kind::NotInRedis, true, Some(id), text);
                }
            }
        }
        self.without_journals(streams, held);
    }

    /// What Redis counts of streams that were not read.
    fn without_journals(&mut self, streams: &[Stream], held: &HeldRound) {
        // No stream comes into a round that ends or has ended.
        let may_begin = matches!(held.state, Some(State::Armed | State::Running | State::Paused));
        for (id, other) in &held.streams {
            if streams.iter().all(|stream| stream.folder.stream != *id) {
                // One that has ended by now, or was given up, was begun before this was read.
                if other.is_new && may_begin && other.end.is_none() && !other.abandoned {
                    let text = format!("stream {id} was begun while this was read: it is not audited");
                    self.note(Kind::Live, false, Some(*id), text);
                    continue;
                }
                if !other.counts() {
                    let text =
                        format!("Redis knows stream {id}, which never counted anything; its journal is not here");
                    self.note(Kind::NoJournal, false, Some(*id), text);
                    continue;
                }
                let given_up = if other.abandoned { ", which was given up," } else { "" };
                let text = match other.is_new {
                    true => format!(
                        "Redis counts stream {id}{given_up} and its journal came while this was read, so that nothing of it is \
                         proved: audit again"
                    ),
                    false => {
                        format!("Redis counts stream {id}{given_up} but its journal is not here: name its folder, too")
                    }
                };
                self.note(Kind::NoJournal, true, Some(*id), text);
            }
        }
    }

    /// One stream, against what Redis holds of it.
    fn held(&mut self, stream: &Stream, held: &HeldStream, sealed: bool) {
        let id = stream.folder.stream;
        let last = stream.found.last_seq;
        let seq = held.up_to().newest();
        if seq > last {
            let text = format!(
                "Redis holds stream {id} up to group {seq}, and its journal ends at {last}: the journal has lost what \
                 Redis counts; look for another copy of it"
            );
            let finding = self.note(Kind::RedisAhead, true, Some(id), text);
            (finding.journal, finding.other) = (Some(last), Some(seq));
            return;
        }
        let up_to = held.up_to();
        let seq = held.whole_up_to();
        // Groups that count nothing need not be published.
        let behind = seq < stream.last_counted;
        let open = matches!(stream.found.tail, Tail::Ended) && held.end.is_none();
        if (behind || open) && stream.standing != StreamStanding::Live {
            let what = if behind { format!("only up to group {seq} of {last}") } else { "without its end".to_owned() };
            let given_up = if held.abandoned { " It was given up." } else { "" };
            let text = format!("Redis holds stream {id} {what}: {}.{given_up}", remedy(sealed));
            let finding = self.note(Kind::RedisBehind, true, Some(id), text);
            (finding.journal, finding.other) = (Some(last), Some(seq));
        }
        if let Some(end) = held.end.filter(|end| *end != last && stream.standing != StreamStanding::Live) {
            let text = format!("Redis has the end of stream {id} at group {end}, and its journal ends at {last}");
            let finding = self.note(Kind::RedisDifferent, true, Some(id), text);
            (finding.journal, finding.other) = (Some(last), Some(end));
        }
        if held.in_parts && stream.standing == StreamStanding::Live {
            let text =
                format!("stream {id} is being put into Redis in parts just now; its rows there are not compared");
            self.note(Kind::Live, false, Some(id), text);
            return;
        }
        self.validity(stream, held);
        let empty = Row::default();
        for (index, (name, halves)) in named(stream, &stream.batches).enumerate() {
            let at = |snapshot: &Option<Snapshot>| match snapshot {
                Some(rows) => rows.get(index).and_then(|row| row.as_deref()).unwrap_or(&empty).clone(),
                None => halves.as_ref().map_or(&empty, |halves| &halves[1]).clone(),
            };
            let ours = Row { tally: at(&stream.at_redis).tally, ..at(&stream.at_redis_histograms) };
            let theirs = held.rows.get(name).unwrap_or(&empty);
            for difference in compare::equal(&ours, theirs).into_iter().take(TOLD_MAX) {
                let is_counter = Tally::FIELDS.contains(&difference.field.as_str());
                let text = format!(
                    "stream {id}, {name}: the journal says {} {} at group {}, and Redis {}",
                    difference.field,
                    difference.ours,
                    if is_counter { up_to.tallies } else { up_to.histograms },
                    difference.theirs
                );
                self.field(Kind::RedisDifferent, id, name, &difference, text);
            }
        }
        let names: HashSet<&str> = named(stream, &stream.batches).map(|(name, _)| name).collect();
        for stranger in held.rows.keys().filter(|name| !names.contains(name.as_str())) {
            let text = format!("stream {id}: Redis counts for {stranger}, who does not play in it");
            self.note(Kind::RedisDifferent, true, Some(id), text).contestant = Some(stranger.clone());
        }
    }
}

fn remedy(sealed: bool) -> &'static str {
    if sealed { "the round is sealed and does not change any more" } else { "`rebuild` publishes what is missing" }
}

/// Requests that had come due and had no outcome yet.
pub fn in_flight(stream: &Stream) -> u64 {
    let waiting = |row: &Row| row.tally.due.saturating_sub(row.tally.settled());
    rows(&stream.batches).map(waiting).fold(0, u64::saturating_add)
}

fn rows(sums: &Sums) -> impl Iterator<Item = &Row> {
    sums.iter().flatten().flat_map(|halves| halves.iter())
}

/// Generators hear of a change one after the other, and one that ended before it never does.
const HEARING_US: u64 = 1_000_000;

/// Whether two streams that both reach well past the last change of deadlines still end with different ones.
fn end_apart(one: &Stream, other: &Stream) -> bool {
    let (Some(ours), Some(theirs)) = (one.in_force.last(), other.in_force.last()) else { return false };
    let settled = ours.at.max(theirs.at).saturating_add(HEARING_US);
    let reaches = |stream: &Stream| stream.proved_until.is_some_and(|until| until >= settled);
    ours.deadlines != theirs.deadlines && reaches(one) && reaches(other)
}

/// Whether two streams have one roster: one that ended sooner may have heard of fewer who joined.
fn is_one_roster(one: &Beginning, other: &Beginning) -> bool {
    let same_names = one.names.iter().zip(&other.names).all(|(ours, theirs)| ours == theirs);
    let agree = one.joined.iter().all(|(number, at)| other.joined.get(number).is_none_or(|other| other == at));
    same_names && agree && one.armed == other.armed
}

/// Contestants with what belongs to them.
fn named<'a, T>(stream: &'a Stream, values: &'a [T]) -> impl Iterator<Item = (&'a str, &'a T)> {
    let names = stream.beginning.as_ref().map_or(&[][..], |beginning| &beginning.names);
    names.iter().map(String::as_str).zip(values)
}
