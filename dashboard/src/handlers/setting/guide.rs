//! From nothing to the first round: what is there, and of what is missing the next step as a command or a button. It ends when
//! a round can be played. Pure.

use crate::control::readiness::{self, Contestant, House, Situation};
use crate::views::format;
use crate::views::setting::{Guide, GuideStep};

/// What the situation does not say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) contest: &'a str,
    /// As generators reach it, without its password.
    pub(super) redis: &'a str,
    /// Invitations that nobody has used.
    pub(super) unused: usize,
    /// Whether the policy allows more than public addresses.
    pub(super) allows_private: bool,
    /// Whether somebody has saved settings.
    pub(super) is_set_up: bool,
    /// Whether a round was ever armed: then nobody needs this.
    pub(super) has_played: bool,
    /// Nothing stands in the way of arming one.
    pub(super) is_go: bool,
}

/// Steps in the order in which they are done. Where all is named that a round needs, those that nobody has done are what is left;
/// once one was played, nothing is.
pub(super) fn guide(situation: &Situation, known: Known<'_>) -> Guide {
    if known.has_played {
        return Guide::default();
    }
    let generator = generator(situation, known);
    let plays = |one: &Contestant| one.endpoint.is_some() && one.left_out.is_none();
    let is_left_out = matches!(situation.house, House::LeftOut(_));
    // What is not tested yet, or of late, takes no step back: the list of what is ready says it.
    let is_named = generator.done && situation.contestants.iter().any(plays) && !is_left_out;
    let steps = [
        settings(known),
        people(situation, known),
        generator,
        endpoints(situation),
        networks(situation, known),
        house(situation),
    ];
    let arm = (!known.is_go).then(|| arm(is_named));
    let steps = steps.into_iter().filter(|step| !is_named || !step.done).chain(arm).collect();
    Guide { can_play: is_named && known.is_go, steps }
}

/// The last one, while it is NO-GO.
fn arm(is_next: bool) -> GuideStep {
    let text = match is_next {
        true => "It is NO-GO: the list of what is ready says what is missing.",
        false => "Comes last: a start is chosen, and the round begins by itself.",
    };
    GuideStep { link: Some(("/setting#round".to_owned(), "To the round")), ..step(false, "Arm", text) }
}

fn step(done: bool, title: &'static str, text: impl Into<String>) -> GuideStep {
    GuideStep { done, title, text: text.into(), command: None, link: None }
}

fn to_settings(step: GuideStep, field: &str, label: &'static str) -> GuideStep {
    GuideStep { link: Some((format!("/setting/contest{field}"), label)), ..step }
}

fn settings(known: Known<'_>) -> GuideStep {
    match known.is_set_up {
        true => step(true, "Rules and plan", "Saved."),
        false => {
            let text = "Deadlines, points and the traffic plan have their defaults: a gentle minute.";
            to_settings(step(false, "Rules and plan", text), "", "Open the settings")
        }
    }
}

fn people(situation: &Situation, known: Known<'_>) -> GuideStep {
    let (teams, unused) = (situation.contestants.len(), known.unused);
    let registered = format!("{} registered", format::plural(teams, "team has", "teams have"));
    let out = format!("{} out", format::plural(unused, "invitation is", "invitations are"));
    let text = match (teams, unused) {
        (0, 0) => "Each team registers by an invitation of its own; slips can be printed.".to_owned(),
        (0, _) => format!("{out}: hand them out."),
        (_, 0) => format!("{registered}."),
        (_, _) => format!("{registered}, {out}."),
    };
    let label = if unused == 0 { "Make invitations" } else { "Print slips" };
    let path = if unused == 0 { "/setting-token" } else { "/setting-token/slips" };
    GuideStep { link: Some((path.to_owned(), label)), ..step(teams > 0, "Teams", text) }
}

fn generator(situation: &Situation, known: Known<'_>) -> GuideStep {
    let heard = situation.generators.iter().filter(|seen| readiness::is_heard(seen, situation.now)).count();
    if heard > 0 {
        return step(true, "Generator", format!("{} heard.", format::plural(heard, "is", "are")));
    }
    let Known { contest, redis, .. } = known;
    let command = format!("flowtest-loadgen serve --contest {contest} --redis {redis} --journal journal");
    let text = "None is heard. It tests endpoints and sends the traffic; start it on a machine of its own:";
    GuideStep { command: Some(command), ..step(false, "Generator", text) }
}

fn endpoints(situation: &Situation) -> GuideStep {
    let (of, set) =
        (situation.contestants.len(), situation.contestants.iter().filter(|one| one.endpoint.is_some()).count());
    let text = match (of, set) {
        (0, _) => "Teams set the address of their server on My team.".to_owned(),
        (of, set) if set < of => {
            format!(
                "{set} of {} named a server; the others do so on My team, or you do below.",
                format::plural(of, "team has", "teams have")
            )
        }
        (1, _) => "The one team has named its server.".to_owned(),
        (of, _) => format!("All {of} teams have named their server."),
    };
    let link = Some(("/setting#teams".to_owned(), "Teams"));
    GuideStep { link, ..step(of > 0 && set == of, "Endpoints", text) }
}

/// What the policy keeps out is a network that nobody allowed, as a rule.
fn networks(situation: &Situation, known: Known<'_>) -> GuideStep {
    let left: Vec<&str> = situation
        .contestants
        .iter()
        .filter_map(|one| one.left_out.as_deref())
        .chain(match &situation.house {
            House::LeftOut(reason) => Some(reason.as_str()),
            House::Unset | House::Set(_) => None,
        })
        .collect();
    let is_named = situation.contestants.iter().any(|one| one.endpoint.is_some());
    match left.first() {
        None if !is_named && !known.allows_private => {
            let text = "Public addresses alone are let in. Servers in a network of yours, or on this machine, need it allowed.";
            to_settings(step(false, "Networks", text), "#f-allow", "Allow a network")
        }
        None => step(true, "Networks", "Every endpoint that was named may be flooded."),
        Some(first) => {
            let text = format!("{} cannot play, such as: {first}.", left.len());
            to_settings(step(false, "Networks", text), "#f-allow", "Allow a network")
        }
    }
}

fn house(situation: &Situation) -> GuideStep {
    match &situation.house {
        House::Unset => {
            let text = "Without a server of ours nobody can tell the platform's losses from those of teams. Start one and name it:";
            let command = Some("flowtest-target --listen 0.0.0.0:8080".to_owned());
            let step = GuideStep { command, ..step(false, "House target", text) };
            to_settings(step, "#f-house", "Name it")
        }
        House::LeftOut(_) => step(false, "House target", "It cannot play: see Networks."),
        House::Set(_) => step(true, "House target", "Our own server plays along."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contract::rules::UtcUs;
    use flowtest_scoreboard::SeenGenerator;
    use flowtest_testkit::documents::generator_health;

    const NEW: Known<'_> = Known {
        contest: "finals",
        redis: "redis://10.0.0.1:6379/",
        unused: 0,
        allows_private: false,
        is_set_up: false,
        has_played: false,
        is_go: false,
    };

    #[test]
    fn from_nothing_each_step_says_the_next_one() {
        let steps = guide(&Situation::default(), NEW).steps;
        let to_do: Vec<&GuideStep> = steps.iter().filter(|step| !step.done).collect();
        assert_eq!(to_do.len(), 7, "{steps:?}");
        assert!(to_do.iter().all(|step| step.command.is_some() || step.link.is_some()), "{to_do:?}");
        let command = steps.iter().find_map(|step| step.command.as_deref().filter(|line| line.contains("loadgen")));
        let wanted = "flowtest-loadgen serve --contest finals --redis redis://10.0.0.1:6379/ --journal journal";
        assert_eq!(command, Some(wanted));
    }

    #[test]
    fn a_network_that_is_not_allowed_leads_to_its_field() {
        let left_out = Some("10.0.0.7 is no public address: allow its network".to_owned());
        let contestants =
            vec![Contestant { endpoint: Some("http://10.0.0.7/".into()), left_out, ..Contestant::default() }];
        let steps = guide(&Situation { contestants, ..Situation::default() }, NEW).steps;
        let networks = steps.iter().find(|step| step.title == "Networks").expect("a step");
        assert!(!networks.done && networks.text.contains("10.0.0.7"), "{networks:?}");
        assert_eq!(networks.link.as_ref().map(|(path, _)| path.as_str()), Some("/setting/contest#f-allow"));
    }

    #[test]
    fn before_the_first_endpoint_it_says_what_is_not_let_in() {
        let networks = |known| {
            guide(&Situation::default(), known).steps.into_iter().find(|step| step.title == "Networks").expect("a step")
        };
        assert!(!networks(NEW).done && networks(NEW).text.contains("Public addresses alone"));
        assert!(networks(Known { allows_private: true, ..NEW }).done);
    }

    #[test]
    fn while_it_is_no_go_arming_comes_last_and_says_why() {
        assert!(arm(true).text.contains("NO-GO"));
        let of_nothing = guide(&Situation::default(), NEW).steps;
        assert!(of_nothing.last().is_some_and(|step| step.text.starts_with("Comes last")), "{of_nothing:?}");
    }

    #[test]
    fn a_round_that_can_be_played_with_the_defaults_ends_the_guide_with_what_is_left() {
        let contestants = vec![Contestant { endpoint: Some("http://203.0.113.7/".into()), ..Contestant::default() }];
        let health = Some(generator_health("g1", UtcUs::EPOCH));
        let generators = vec![SeenGenerator { id: "g1".into(), beat: UtcUs::EPOCH, health, waiting: None }];
        let of = Situation { contestants, generators, ..Situation::default() };
        let titles = |known| guide(&of, known).steps.iter().map(|step| step.title).collect::<Vec<_>>();
        assert_eq!(titles(Known { is_go: true, ..NEW }), ["Rules and plan", "House target"]);
        // Tests that are too old make it NO-GO until the next ones are answered: nothing that was done is to do again.
        assert_eq!(titles(NEW), ["Rules and plan", "House target", "Arm"]);
        assert!(!guide(&of, NEW).can_play);
        let silent = Situation { generators: Vec::new(), ..of.clone() };
        assert_eq!(guide(&silent, NEW).steps.len(), 7);
        // Nobody has to press anything for it to end.
        let of = Situation { house: House::Set(None), ..of.clone() };
        let all = guide(&of, Known { is_go: true, is_set_up: true, ..NEW });
        assert_eq!(all, Guide { can_play: true, steps: Vec::new() });
    }

    #[test]
    fn whoever_has_played_needs_no_guide() {
        assert_eq!(guide(&Situation::default(), Known { has_played: true, ..NEW }), Guide::default());
    }
}
