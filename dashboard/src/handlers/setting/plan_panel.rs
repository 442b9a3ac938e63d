//! The traffic plan as it is edited, and what it comes to.

use crate::control::difference::deadline_consequence;
use crate::control::plan_rows::{PlanRow, ROWS_MAX, read_each, rows_of};
use crate::control::readiness::{
    CORE_RATE, EXCHANGE_BYTES, fleet_message, peak, rate_message, rate_together, step_message,
};
use crate::control::{form, instant};
use crate::handlers::convert;
use crate::views::format;
use crate::views::plan::PlanGraph;
use crate::views::settings::{PlanEditor, PlanPreview, PlanRowLine};
use flowtest_contest::contest::{Load, Phase, beyond_fleet};

/// Rows for phases to come.
const SPARE_ROWS: usize = 3;

/// Who would play it, and with what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fleet {
    /// Teams, and the house.
    pub(super) contestants: u64,
    pub(super) generators: u64,
    pub(super) cores: u64,
    /// What one exchange took in both directions, as the last round measured it.
    pub(super) exchange_bytes: Option<u64>,
}

/// `deadlines`: as typed, with the value that comes.
pub(super) fn editor(
    text: &str,
    timeout_us: u64,
    deadlines: [(&str, &str, &str); 2],
    zone: &str,
    fleet: Fleet,
) -> PlanEditor {
    let rows = rows_of(text).map(|rows| {
        let spare = SPARE_ROWS.min(ROWS_MAX.saturating_sub(rows.len()));
        let empty = PlanRow { scored: true, ..PlanRow::default() };
        rows.into_iter().chain(std::iter::repeat_n(empty, spare)).map(line).collect()
    });
    let mut preview = preview(&read_each(text, timeout_us), timeout_us, fleet);
    if preview.graph.is_some() {
        let said = deadlines.into_iter().filter_map(|(name, value, typed)| {
            let when = form::deadline(typed, zone).ok()?;
            Some(format!("{name}: {}", deadline_consequence(value, when)))
        });
        preview.deadlines = said.collect();
    }
    PlanEditor { text: text.to_owned(), rows, rows_max: ROWS_MAX, preview }
}

fn line(row: PlanRow) -> PlanRowLine {
    let PlanRow { length, rate, connections, pipeline, scored, more } = row;
    PlanRowLine { length, rate, connections, pipeline, scored, more }
}

fn preview(read: &[Result<Phase, String>], timeout_us: u64, fleet: Fleet) -> PlanPreview {
    let wrong = |(index, one): (usize, &Result<Phase, String>)| one.as_ref().err().map(|why| (index + 1, why.clone()));
    let phases: Vec<Phase> = read.iter().filter_map(|one| one.as_ref().ok()).copied().collect();
    PlanPreview {
        graph: (!phases.is_empty()).then(|| PlanGraph::of(convert::plan(&phases))),
        wrong: read.iter().enumerate().filter_map(wrong).collect(),
        totals: totals(&phases, timeout_us, fleet),
        too_much: too_much(&phases, fleet),
        deadlines: Vec::new(),
    }
}

/// What a plan asks of teams and of the fleet, a sentence each.
pub(super) fn totals(phases: &[Phase], timeout_us: u64, fleet: Fleet) -> Vec<String> {
    if phases.is_empty() {
        return Vec::new();
    }
    let length_us: u64 = phases.iter().map(|phase| phase.duration_us).sum();
    let each: u128 = phases.iter().map(requests).sum();
    let has_sprint = phases.iter().any(|phase| matches!(phase.load, Load::Closed { .. }));
    let has_climb = phases.iter().any(|phase| matches!(phase.load, Load::Breakpoint(_)));
    let contestants = fleet.contestants.max(1);
    let open_ended = match (has_sprint, has_climb) {
        (false, false) => "",
        (true, false) => "what its sprints take",
        (false, true) => "what its climbs take",
        (true, true) => "what its sprints and climbs take",
    };
    let count = |count: u128| format::count(u64::try_from(count).unwrap_or(u64::MAX));
    let all = each.saturating_mul(contestants.into());
    let bytes = all.saturating_mul(fleet.exchange_bytes.unwrap_or(EXCHANGE_BYTES).into());
    let measured = if fleet.exchange_bytes.is_some() { "as the last round measured" } else { "by a small answer" };
    let mut totals = vec![
        format!("It takes {} in {}.", instant::duration(length_us), format::plural(phases.len(), "phase", "phases")),
        match (each, open_ended) {
            (0, open_ended) if !open_ended.is_empty() => {
                let whose = contestants_text(contestants);
                format!("For each of {whose} {open_ended}: nobody knows before how many requests that is.")
            }
            (each, open_ended) => {
                let more = if open_ended.is_empty() { String::new() } else { format!(", and {open_ended}") };
                format!(
                    "{} requests for each{more}; {} for {}.",
                    count(each),
                    count(all),
                    contestants_text(contestants)
                )
            }
        },
    ];
    if all > 0 {
        let bytes = format::bytes(u64::try_from(bytes).unwrap_or(u64::MAX));
        totals.push(format!("About {bytes} over the network in both directions, {measured}."));
    }
    totals.extend(climb_texts(phases, timeout_us, fleet));
    totals.push(fleet_text(phases, fleet));
    totals
}

/// How far climbs lead, and what that takes of the network when all climb alike: a link is nobody's limit but ours.
fn climb_texts(phases: &[Phase], timeout_us: u64, fleet: Fleet) -> Vec<String> {
    let mut texts = Vec::new();
    for phase in phases {
        let Load::Breakpoint(climb) = phase.load else { continue };
        texts.extend(step_message(&climb, phase.duration_us, timeout_us));
        let (highest, _) = climb.leads_to(climb.clock(phase.duration_us, timeout_us).count);
        texts.extend(fleet_message(&climb, highest, fleet.contestants, fleet.cores));
        let (all, each) = rate_together(&climb, highest, fleet.contestants);
        let bytes = all.saturating_mul(fleet.exchange_bytes.unwrap_or(EXCHANGE_BYTES));
        texts.push(format!(
            "At {}/s for each a climb takes about {} a second of the network, in both directions together: no link of the \
             generators may be narrower, for a full one makes everybody's answers slow (1 Gbit/s carries 125 MB a second each way).",
            format::count(each),
            format::bytes(bytes)
        ));
    }
    texts
}

fn contestants_text(contestants: u64) -> String {
    format::plural(usize::try_from(contestants).unwrap_or(usize::MAX), "contestant", "contestants")
}

/// Requests of one contestant, as far as a plan says how many.
fn requests(phase: &Phase) -> u128 {
    match phase.load {
        Load::Open { from, to } => (u128::from(from) + u128::from(to)) * u128::from(phase.duration_us) / 2_000_000,
        // Nobody knows before how many these come to.
        Load::Closed { .. } | Load::Breakpoint(_) => 0,
    }
}

fn asked(phases: &[Phase], fleet: Fleet) -> u64 {
    peak(phases).saturating_mul(fleet.contestants.max(1))
}

fn fleet_text(phases: &[Phase], fleet: Fleet) -> String {
    let asked = format::capital(&rate_message(phases, fleet.contestants, format::count));
    if fleet.cores == 0 {
        return format!(
            "{asked}. No generator is heard; each of their cores carries about {} a second.",
            format::count(CORE_RATE)
        );
    }
    let generators = usize::try_from(fleet.generators).unwrap_or(usize::MAX);
    let cores = usize::try_from(fleet.cores).unwrap_or(usize::MAX);
    format!(
        "{asked}; {} with {} carry about {}.",
        format::plural(generators, "generator", "generators"),
        format::plural(cores, "core", "cores"),
        format::count(fleet.cores.saturating_mul(CORE_RATE))
    )
}

fn too_much(phases: &[Phase], fleet: Fleet) -> Option<String> {
    if let Some(beyond) = beyond_fleet(phases, fleet.contestants) {
        return Some(format::as_message(&beyond));
    }
    let asked = asked(phases, fleet);
    let carried = fleet.cores.saturating_mul(CORE_RATE);
    (fleet.cores > 0 && asked > carried)
        .then(|| "That is more than these generators carry: add generators, or lower the rate.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLEET: Fleet = Fleet { contestants: 10, generators: 1, cores: 2, exchange_bytes: None };

    fn plan(text: &str, fleet: Fleet) -> PlanPreview {
        editor(text, 3_000_000, [("Version", "v2", "+20s"), ("From", "ECS", "")], "", fleet).preview
    }

    #[test]
    fn a_preview_adds_up_what_a_plan_asks() {
        let text = "[[phase]]\nfor = \"10s\"\nrate = \"100..300\"\n\n[[phase]]\nfor = \"5s\"\nconnections = 8\n";
        let preview = plan(text, FLEET);
        let said = [preview.totals.join(" "), preview.deadlines.join(" ")].concat();
        for part in [
            "15s in 2 phases",
            "2,000 requests for each, and what its sprints take; 20,000 for 10 contestants",
            "10.0 MB",
            "At most 3,000 requests a second in all; 1 generator with 2 cores carry about 200,000",
            "v2 is expected from 20s after the start",
            "ECS is expected from the first request on",
        ] {
            assert!(said.contains(part), "{part:?}: {said}");
        }
        assert_eq!(preview.too_much, None);
        let sprint = plan("[[phase]]\nfor = \"5s\"\nconnections = 8\n", FLEET).totals.join(" ");
        assert!(sprint.contains("For each of 10 contestants what its sprints take: nobody knows before"), "{sprint}");
    }

    #[test]
    fn a_climb_says_how_far_its_steps_lead_and_what_that_takes_of_the_network() {
        let text = |length: &str, more: &str| {
            format!(
                "[[phase]]\nkind = \"breakpoint\"\nfor = \"{length}\"\nstart = 500\nstep = \"x1.25\"\nhold = \"10s\"\n\
                 pass = {{ verified = 0.995, p99 = \"250ms\" }}\nmax = 20000\nconnections = 4000\n{more}"
            )
        };
        let climb = |length: &str| plan(&text(length, ""), FLEET).totals.join(" ");
        let hasty = climb("2m");
        assert!(hasty.contains("The 7 steps of its climb lead up to 1906/s"), "{hasty}");
        assert!(hasty.contains("At 1,906/s for each a climb takes about 9.53 MB a second of the network"), "{hasty}");
        let patient = climb("10m");
        assert!(!patient.contains("steps of its climb") && patient.contains("At 20,000/s for each"), "{patient}");
        // Ten of them ask for no more than that together.
        let bounded = plan(&text("10m", "fleet_max = 60000\n"), FLEET).totals.join(" ");
        assert!(bounded.contains("its fleet_max of 60000/s for all is 6000 for each"), "{bounded}");
        assert!(bounded.contains("At 6,000/s for each a climb takes about 30.0 MB a second"), "{bounded}");
        // It goes on from what it begins with, and that alone is known.
        assert!(bounded.contains("A climb begins with 5,000 requests a second in all; 1 generator"), "{bounded}");
        let open = "\n[[phase]]\nfor = \"10s\"\nrate = 900\nconnections = 8\n";
        let both = plan(&text("10m", open), FLEET).totals.join(" ");
        assert!(both.contains("At most 9,000 requests a second in all, and a climb begins with 5,000; 1"), "{both}");
        let beyond = plan(&text("10m", "fleet_max = 4999\n"), FLEET);
        let why = beyond.too_much.expect("500/s for ten are more");
        assert!(
            why.starts_with("Phase 1 starts at 500/s for each of 10 contestants, and its `fleet_max` is 4999/s"),
            "{why}"
        );
        assert!(
            !beyond.totals.join(" ").contains("fleet limit") && beyond.totals.join(" ").contains("At 500/s for each")
        );
    }

    #[test]
    fn a_phase_that_cannot_be_read_is_named_and_the_others_are_drawn() {
        let text = "[[phase]]\nfor = \"10s\"\nrate = 5\n\n[[phase]]\nfor = \"10s\"\nrate = 5\nconnection = 8\n";
        let preview = plan(text, FLEET);
        let [(2, why)] = preview.wrong.as_slice() else { panic!("{:?}", preview.wrong) };
        assert!(why.contains("did you mean `connections`?"), "{why}");
        assert_eq!(preview.graph.expect("the first one").phases.len(), 1);
    }

    #[test]
    fn what_the_fleet_cannot_carry_is_said() {
        let text = "[[phase]]\nfor = \"10s\"\nrate = 40000\nconnections = 8\n";
        assert!(plan(text, FLEET).too_much.expect("400,000 on two cores").contains("add generators"));
        let nobody = Fleet { cores: 0, generators: 0, ..FLEET };
        let preview = plan(text, nobody);
        assert!(preview.too_much.is_none() && preview.totals.join(" ").contains("No generator is heard"));
        assert_eq!(plan("", FLEET).totals, Vec::<String>::new());
    }
}
