//! The traffic plan as a picture: requests per second of each contestant over the minutes of a round.

use crate::views::format;
use flowtest_contest::breakpoint::Breakpoint;
use sailfish::TemplateSimple;
use std::fmt::Write as _;

/// The drawing's own units; CSS stretches it.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 200.0;

/// A phase as the picture needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanPhase {
    pub seconds: f64,
    pub load: PlanLoad,
    pub connections: u32,
    pub scored: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PlanLoad {
    /// Requests per second, from one rate to another.
    Open { from: u64, to: u64 },
    /// As fast as answers come: so many in flight on each connection.
    Closed { pipeline: u32 },
    /// Each contestant climbs a ladder of its own until it breaks.
    Climb(Breakpoint),
}

/// An SVG of numbers, its axis and a line of text per phase.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "_plan.stpl")]
pub struct PlanGraph {
    pub phases: Vec<PlanPhase>,
    shapes: Vec<Shape>,
    seconds: f64,
    top: u64,
}

#[derive(Clone, Debug)]
struct Shape {
    path: String,
    class: &'static str,
}

impl PlanGraph {
    pub fn of(phases: Vec<PlanPhase>) -> PlanGraph {
        let seconds: f64 = phases.iter().map(|phase| phase.seconds.max(0.0)).sum();
        let top = phases.iter().map(PlanPhase::top).max().unwrap_or(0).max(1);
        let scale = |rate: u64| HEIGHT - (rate as f64 / top as f64) * HEIGHT * 0.94;
        let mut shapes = Vec::new();
        let mut at = 0.0;
        for phase in &phases {
            let x = |second: f64| if seconds > 0.0 { second / seconds * WIDTH } else { 0.0 };
            let (left, right) = (x(at), x(at + phase.seconds.max(0.0)));
            let (from, to, class) = match phase.load {
                PlanLoad::Open { from, to } => {
                    (scale(from), scale(to), if phase.scored { "open" } else { "open free" })
                }
                // Nobody knows how far; it is drawn as far as it may come.
                PlanLoad::Climb(climb) => (
                    scale(climb.ladder.start),
                    scale(climb.ladder.max),
                    if phase.scored { "open" } else { "open free" },
                ),
                PlanLoad::Closed { .. } => (0.0, 0.0, if phase.scored { "closed" } else { "closed free" }),
            };
            let mut path = String::new();
            let _ = write!(path, "M{left:.1} {HEIGHT}L{left:.1} {from:.1}L{right:.1} {to:.1}L{right:.1} {HEIGHT}Z");
            shapes.push(Shape { path, class });
            at += phase.seconds.max(0.0);
        }
        PlanGraph { phases, shapes, seconds, top }
    }
}

/// What one server of the templates in target/aws answers a second, as they are.
pub(crate) const TEMPLATE_CAPACITY: u64 = 500;

impl PlanGraph {
    /// The highest rate of all open phases, in requests per second, and how many servers of the templates that takes.
    pub(crate) fn servers(&self) -> Option<(u64, u64)> {
        let rate = self.phases.iter().filter(|phase| phase.is_open()).map(PlanPhase::top).max()?;
        (rate > 0).then_some((rate, rate.div_ceil(TEMPLATE_CAPACITY)))
    }

    /// Whether a phase asks for as much as a server can answer.
    pub(crate) fn is_unbounded(&self) -> bool {
        !self.phases.iter().all(PlanPhase::is_open)
    }
}

impl PlanPhase {
    fn is_open(&self) -> bool {
        matches!(self.load, PlanLoad::Open { .. })
    }

    fn top(&self) -> u64 {
        match self.load {
            PlanLoad::Open { from, to } => from.max(to),
            PlanLoad::Climb(climb) => climb.ladder.max,
            PlanLoad::Closed { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::ladder::{LadderTerms, Pass, Step};

    fn phase(seconds: f64, load: PlanLoad) -> PlanPhase {
        PlanPhase { seconds, load, connections: 64, scored: true }
    }

    #[test]
    fn a_picture_fills_its_width_and_stays_inside() {
        let graph = PlanGraph::of(vec![
            phase(30.0, PlanLoad::Open { from: 100, to: 2_000 }),
            phase(30.0, PlanLoad::Closed { pipeline: 1 }),
        ]);
        assert!(graph.shapes[0].path.starts_with("M0.0 200L0.0 190.6L500.0 12.0"), "{}", graph.shapes[0].path);
        assert!(graph.shapes[1].path.ends_with("L1000.0 200Z"), "{}", graph.shapes[1].path);
    }

    #[test]
    fn the_highest_open_phase_says_how_many_servers_there_must_be() {
        let open = |from, to| phase(10.0, PlanLoad::Open { from, to });
        let sprint = phase(10.0, PlanLoad::Closed { pipeline: 1 });
        let ends_quietly = PlanGraph::of(vec![open(9_000, 100), open(100, 1_001), sprint]);
        assert_eq!((ends_quietly.servers(), ends_quietly.is_unbounded()), (Some((9_000, 18)), true));
        assert!(!PlanGraph::of(vec![open(1, 2), open(2, 1)]).is_unbounded());
        assert_eq!(PlanGraph::of(vec![open(500, 500)]).servers(), Some((500, 1)));
        assert_eq!(PlanGraph::of(vec![phase(10.0, PlanLoad::Closed { pipeline: 1 })]).servers(), None);
        assert_eq!(PlanGraph::of(vec![]).servers(), None);
    }

    #[test]
    fn what_the_generators_carry_in_all_is_said_of_a_climb() {
        let ladder = LadderTerms { start: 500, step: Step::Times(1.25), max: 20_000, pass: Pass::USUAL };
        let told = |fleet_max| {
            let climb = PlanLoad::Climb(Breakpoint { ladder, hold_us: 10_000_000, fleet_max });
            PlanGraph::of(vec![phase(600.0, climb)]).render_once().expect("a picture")
        };
        let said = told(Some(60_000));
        assert!(said.contains("up to 20,000 requests/s, and 60,000 of all together"), "{said}");
        assert!(!told(None).contains("all together"));
    }

    #[test]
    fn the_templates_have_the_capacity_of_which_the_page_speaks() {
        for template in ["ec2.yml", "ecs.yml"] {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/aws/").to_owned() + template;
            let text = std::fs::read_to_string(path).expect("the template is there");
            let capacity = text.split("\n  Capacity:\n").nth(1).expect("it has the parameter");
            let default = capacity.lines().find_map(|line| line.trim().strip_prefix("Default: "));
            assert_eq!(default, Some(TEMPLATE_CAPACITY.to_string().as_str()), "{template}");
        }
    }

    #[test]
    fn a_plan_of_nothing_is_drawn_without_a_division_by_it() {
        for phases in [vec![], vec![phase(0.0, PlanLoad::Open { from: 0, to: 0 })]] {
            let graph = PlanGraph::of(phases);
            assert!(graph.shapes.iter().all(|shape| !shape.path.contains("NaN")));
        }
    }
}
