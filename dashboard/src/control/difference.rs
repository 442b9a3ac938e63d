//! What a change of the settings would change: field by field, with its consequence in words.

use super::instant;
use super::settings::{self, Settings};
use flowtest_contest::contest::{Absent, Phase, RankBy, When};
use flowtest_contest::policy::TlsTrust;

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The name of the field in the form.
    pub field: &'static str,
    /// What people call it.
    pub label: &'static str,
    pub old: String,
    pub new: String,
    /// What it means for those who play.
    pub consequence: String,
    /// Whether contestants are told.
    pub concerns_contestants: bool,
}

impl Changed {
    /// Whether both are instants, counted from the start or not.
    pub fn is_deadline(&self) -> bool {
        matches!(self.field, "version_deadline" | "from_deadline")
    }

    /// Whether it counts in a round that is on; rules, deadlines and plan of that are frozen.
    pub fn counts_at_once(&self) -> bool {
        matches!(self.field, "title" | "allow" | "deny" | "allow_shared" | "ownership" | "tls_any")
    }
}

/// Everything that differs, in the order of the form. Empty exactly when both are equal.
pub fn difference(old: &Settings, new: &Settings) -> Vec<Changed> {
    let mut changes = Changes(Vec::new());
    changes.add("title", "Title", &old.title, &new.title, false, || "Pages show the new title.".to_owned());
    rules(&mut changes, old, new);
    let plan = |settings: &Settings| settings::plan_text(&settings.phases);
    changes.add("plan", "Traffic plan", &plan(old), &plan(new), true, || plan_consequence(&new.phases));
    policy(&mut changes, old, new);
    ranking(&mut changes, old, new);
    servers(&mut changes, old, new);
    changes.0
}

/// What an answer is worth, until when, and what falls due to whom.
fn rules(changes: &mut Changes, old: &Settings, new: &Settings) {
    let (rules, to) = (&old.rules, &new.rules);
    for (field, label, value, old, new) in [
        ("version_deadline", "Version deadline", "v2", old.deadlines.version, new.deadlines.version),
        ("from_deadline", "Platform deadline", "ECS", old.deadlines.from, new.deadlines.from),
    ] {
        changes.add(field, label, &deadline_text(old), &deadline_text(new), true, || deadline_consequence(value, new));
    }
    changes.add(
        "timeout",
        "Timeout",
        &instant::duration(rules.timeout_us),
        &instant::duration(to.timeout_us),
        true,
        || {
            format!(
                "An answer that takes longer than {} costs {} points.",
                instant::duration(to.timeout_us),
                to.exchange_points()
            )
        },
    );
    changes.add("grace", "Grace", &instant::duration(rules.grace_us), &instant::duration(to.grace_us), true, || {
        format!("For {} around a deadline either value is right.", instant::duration(to.grace_us))
    });
    for (field, label, old, new) in [
        ("token", "Points for Token", rules.token, to.token),
        ("version", "Points for Version", rules.version, to.version),
        ("from", "Points for From", rules.from, to.from),
    ] {
        changes.add(field, label, &old.to_string(), &new.to_string(), true, || {
            format!(
                "Right earns {new}, wrong costs {new}; a verified answer is worth {} points and a failed exchange \
                 costs as much.",
                to.exchange_points()
            )
        });
    }
    changes.add("token_required", "Token required", yes(rules.token_required), yes(to.token_required), true, || {
        if to.token_required {
            "A wrong Token makes Version and From wrong as well.".to_owned()
        } else {
            "Token, Version and From are judged apart.".to_owned()
        }
    });
    let charged = |settings: &Settings| settings.absent == Absent::Charged;
    changes.add("absent_free", "Not ready", absent_text(charged(old)), absent_text(charged(new)), true, || {
        if charged(new) {
            "What falls due in scored phases to a contestant that is not admitted is missed and costs points."
                .to_owned()
        } else {
            "Nothing falls due to a contestant before it is admitted.".to_owned()
        }
    });
}

/// Where traffic may go, and to whose servers.
fn policy(changes: &mut Changes, old: &Settings, new: &Settings) {
    let list = |items: Vec<String>| if items.is_empty() { "nothing".to_owned() } else { items.join("\n") };
    let allow = |settings: &Settings| list(settings.policy.allow.iter().map(ToString::to_string).collect());
    let deny = |settings: &Settings| list(settings.policy.deny.iter().map(ToString::to_string).collect());
    changes.add("allow", "Allowed networks", &allow(old), &allow(new), false, || {
        "Traffic may go to these networks beside public addresses, as far as each generator's own policy file lets it. \
         It counts at once, also in a running round."
            .to_owned()
    });
    changes.add("deny", "Denied networks", &deny(old), &deny(new), false, || {
        "No traffic goes there, whatever is allowed. It counts at once, also in a running round.".to_owned()
    });
    changes.add(
        "allow_shared",
        "Shared servers",
        yes(old.policy.allow_shared),
        yes(new.policy.allow_shared),
        true,
        || {
            if new.policy.allow_shared {
                "Two contestants may have one server, and one may play for the other.".to_owned()
            } else {
                "Each contestant needs a server of its own.".to_owned()
            }
        },
    );
    let asked = |settings: &Settings| yes(settings.policy.ownership.is_asked_for());
    changes.add("ownership", "Proof of ownership", asked(old), asked(new), false, || {
        if new.policy.ownership.is_asked_for() {
            "Each server has to send Team with its contestant's login name. It counts at once: in a running round a server that \
             does not is asked every ten seconds and loses its requests."
                .to_owned()
        } else {
            "Nobody has to prove that a server is his: a second address of a rival's gets full points.".to_owned()
        }
    });
}

fn ranking(changes: &mut Changes, old: &Settings, new: &Settings) {
    let first = |settings: &Settings| yes(settings.rank_by == RankBy::Holds);
    changes.add("holds_first", "Who holds more stands first", first(old), first(new), true, || match new.rank_by {
        RankBy::Holds => {
            "The rate that a server holds puts it before others, then the p99 at it, then who did first.".to_owned()
        }
        RankBy::Points => "Points put one before another.".to_owned(),
    });
    let worth = |settings: &Settings| settings.breakpoint_points.to_string();
    changes.add("breakpoint_points", "Points for a held rate", &worth(old), &worth(new), true, || {
        match new.breakpoint_points {
            0 => "A held rate gives no points.".to_owned(),
            points => format!("Each request a second that a server holds gives {points} points."),
        }
    });
}

/// What servers show over https, and our own one.
fn servers(changes: &mut Changes, old: &Settings, new: &Settings) {
    let any = |settings: &Settings| yes(settings.policy.tls == TlsTrust::Any);
    changes.add("tls_any", "Any certificate", any(old), any(new), true, || match new.policy.tls {
        TlsTrust::Any => "Servers over https may show any certificate, also one that they have signed themselves.".to_owned(),
        TlsTrust::Verify => {
            "Servers over https need a certificate that is in date, for their host, and from an authority that the generators \
             trust."
                .to_owned()
        }
    });
    let house = |settings: &Settings| settings.house.as_ref().map_or("none".to_owned(), ToString::to_string);
    changes.add("house", "House target", &house(old), &house(new), false, || match &new.house {
        Some(_) => "Our own server plays every round: what it loses, the platform did.".to_owned(),
        None => "Nothing tells the platform's own losses from those of contestants.".to_owned(),
    });
}

fn absent_text(charged: bool) -> &'static str {
    if charged { "charged" } else { "free" }
}

struct Changes(Vec<Changed>);

impl Changes {
    fn add(
        &mut self,
        field: &'static str,
        label: &'static str,
        old: &str,
        new: &str,
        concerns_contestants: bool,
        consequence: impl FnOnce() -> String,
    ) {
        if old != new {
            let (old, new, consequence) = (old.to_owned(), new.to_owned(), consequence());
            self.0.push(Changed { field, label, old, new, consequence, concerns_contestants });
        }
    }
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn deadline_text(when: Option<When>) -> String {
    match when {
        None => "from the start".to_owned(),
        when => instant::when_text(when),
    }
}

pub(crate) fn deadline_consequence(value: &str, when: Option<When>) -> String {
    match when {
        None => format!("{value} is expected from the first request on."),
        Some(When::At(at)) => format!("{value} is expected from {} on.", instant::rfc3339(at)),
        Some(When::AfterStart { us }) => {
            format!("{value} is expected from {} after the start of each round on.", instant::duration(us))
        }
    }
}

pub(crate) fn plan_consequence(phases: &[Phase]) -> String {
    use flowtest_contest::contest::Load;
    let length = instant::duration(phases.iter().map(|phase| phase.duration_us).sum());
    let peak = phases.iter().filter_map(|phase| match phase.load {
        Load::Open { from, to } => Some(from.max(to)),
        Load::Breakpoint(climb) => Some(climb.ladder.max),
        Load::Closed { .. } => None,
    });
    let count = match phases.len() {
        1 => "one phase".to_owned(),
        count => format!("{count} phases"),
    };
    match peak.max() {
        Some(peak) => {
            format!("A round takes {length} in {count}, with up to {peak} requests a second for each contestant.")
        }
        None => format!("A round takes {length} in {count}, each connection as fast as answers come."),
    }
}

/// What contestants are told of a change, one sentence per field. `None` when nothing concerns them. `from_round`: while a round
/// is on, the number of the next one.
pub fn announcement(changes: &[Changed], from_round: Option<u32>) -> Option<String> {
    let told = |change: &Changed| match change.field {
        "plan" => format!("Traffic plan changed. {}", change.consequence),
        _ => format!("{}: {} → {}. {}", change.label, change.old, change.new, change.consequence),
    };
    let concerning = changes.iter().filter(|change| change.concerns_contestants);
    let (at_once, later): (Vec<&Changed>, Vec<&Changed>) =
        concerning.partition(|change| from_round.is_none() || change.counts_at_once());
    let mut messages: Vec<String> = at_once.into_iter().map(told).collect();
    if let (Some(round), false) = (from_round, later.is_empty()) {
        messages.push(format!("From round {round} on:"));
    }
    messages.extend(later.into_iter().map(told));
    (!messages.is_empty()).then(|| messages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_moved_deadline_is_told_with_its_consequence() {
        let old = Settings::default();
        let mut new = old.clone();
        new.deadlines.version = Some(When::AfterStart { us: 30_000_000 });
        let changes = difference(&old, &new);
        assert_eq!(changes.len(), 1);
        assert_eq!((changes[0].old.as_str(), changes[0].new.as_str()), ("from the start", "+30s"));
        let told = announcement(&changes, None).expect("it concerns contestants");
        assert!(told.contains("v2 is expected from 30s after the start"), "{told}");
        assert!(!told.contains("round 4"), "{told}");
    }

    #[test]
    fn during_a_round_it_is_said_which_one_a_change_counts_for() {
        let old = Settings::default();
        let mut new = old.clone();
        new.rules.timeout_us = 4_000_000;
        new.policy.allow_shared = true;
        let told = announcement(&difference(&old, &new), Some(4)).expect("it concerns contestants");
        let (at_once, later) = told.split_once("From round 4 on:").expect("it says which");
        assert!(at_once.contains("Shared servers") && later.contains("Timeout: 3s → 4s"), "{told}");
    }

    #[test]
    fn what_concerns_the_platform_alone_is_not_announced() {
        let old = Settings::default();
        let mut new = old.clone();
        new.policy.allow = vec!["10.0.0.0/8".parse().expect("a network")];
        let changes = difference(&old, &new);
        assert_eq!(changes.len(), 1);
        assert_eq!(announcement(&changes, None), None);
    }

    proptest! {
        #[test]
        fn the_difference_is_empty_exactly_for_equal_settings(old in settings(), new in settings()) {
            prop_assert_eq!(difference(&old, &new).is_empty(), old == new);
            prop_assert!(difference(&old, &old).is_empty());
        }

        #[test]
        fn one_changed_field_is_one_line(settings in settings(), other in settings()) {
            let mut changed = settings.clone();
            changed.rules.grace_us = other.rules.grace_us;
            let fields: Vec<&str> = difference(&settings, &changed).iter().map(|change| change.field).collect();
            let expected: &[&str] = if settings == changed { &[] } else { &["grace"] };
            prop_assert_eq!(fields, expected);
        }
    }
}
