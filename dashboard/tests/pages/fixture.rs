//! Filled examples of every view: the tests render them, and `--example pages` writes them to be looked at.
//!
//! Names are as people with ill will would choose them: what is inert here is inert in a contest.

use flowtest_accounts::{Level, Ruling};
use flowtest_contest::breakpoint::HoldSums;
use flowtest_contest::climbed::{Climbed, JudgedStep};
use flowtest_contest::contest::{Absent, RankBy};
use flowtest_contest::ladder::{HoldVerdict, Pass};
use flowtest_contest::policy::TlsTrust;
use flowtest_contest::{DecidedBy, State};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundValidity, Row, Rules, Tally};
use flowtest_dashboard::live::{
    Causes, Contestant, Due, Figures, Notice, RoundNow, Standing, TeamState, UserKey, ValidityNow,
};
use flowtest_dashboard::views::account::SessionLine;
use flowtest_dashboard::views::audit::{AuditLine, Names, Told};
use flowtest_dashboard::views::chart::ProjectorPage;
use flowtest_dashboard::views::climb::ClimbCard;
use flowtest_dashboard::views::curve::{Curves, Mark, Series};
use flowtest_dashboard::views::health::{Health, Tone};
use flowtest_dashboard::views::index::{
    EndpointCard, Failure, HeaderCount, IndexPage, PracticeCard, PracticeRefused, PracticeResult, Probe, ScoreCard,
    ViewAs,
};
use flowtest_dashboard::views::ledger::{self, Ledger, LedgerRound};
use flowtest_dashboard::views::login::{Kept, KeptField};
use flowtest_dashboard::views::plan::{PlanGraph, PlanLoad, PlanPhase};
use flowtest_dashboard::views::qr::Qr;
use flowtest_dashboard::views::report::{ReportAdjustment, ReportLine, ReportRound, ReportTeam};
use flowtest_dashboard::views::rules::{ChangeLine, Flip};
use flowtest_dashboard::views::screen::{ScreenMade, ScreenPage};
use flowtest_dashboard::views::setting::{
    AdjustmentLine, AnnounceForm, BackupLine, Change, Check, ContestForm, ContestantCheck, Doubt, Face, GeneratorCheck,
    GeneratorChoice, Guide, GuideStep, InvalidRound, Light, MissingStream, Parked, PastRound, PeoplePanel, Readiness,
    RoundAction, RoundPanel, ScreenLine, ShareLine, TeamDetail, TeamFailure, TeamForm, TeamHistory, TeamLine,
    TeamLineState, TeamsPanel, UserLine,
};
use flowtest_dashboard::views::settings::{ConflictLine, PlanEditor, PlanPreview, PlanRowLine};
use flowtest_dashboard::views::strip::{Span, Strip};
use flowtest_dashboard::views::time::Words;
use flowtest_dashboard::views::tokens::{InvitationForm, Slip, TokenLine, TokenStatus};
use flowtest_dashboard::views::{
    AccountPage, AuditPage, ChartPage, ChartView, ContestHead, ErrorPage, Field, Flash, KeptPage, Layout, LoginPage,
    LogoutPage, Page, RegisterPage, ReportPage, Role, RulesPage, SettingPage, SettingsPage, SlipsPage, TokensPage,
    Viewer, advice,
};
use flowtest_testkit::hostile::NAMES as HOSTILE;
use sailfish::{RenderError, TemplateSimple};

/// The instant at which all examples stand: 2025-11-23 10:10:00 UTC, in milliseconds.
pub(crate) const NOW_MS: i64 = 1_763_892_600_000;
/// Of a round in which our own machine was late.
const NOT_VALID: RoundValidity =
    RoundValidity { seconds: 1_200, valid_seconds: 1_141, due: 1_680_000, void: 20_412, late_ms: 9_000 };
const START_MS: i64 = NOW_MS - 600_000;

/// Where the organiser keeps what contestants take.
pub(crate) const KIT_URL: &str = "https://kit.example.org/finals/NOTES.md";

const TEAMS: [&str; 14] = [
    "Packet Pirates",
    "Null Pointers",
    HOSTILE[0],
    "Elastic Bananas",
    "Überläufer & Söhne",
    HOSTILE[2],
    "東京ロードバランサ",
    HOSTILE[1],
    "The 99th Percentile",
    HOSTILE[3],
    "Team with a very long name, 40 letters!!",
    "Segfault Society",
    "Cold Start",
    "Retry Later",
];

/// All pages with the name of the file they are written to.
///
/// # Errors
/// What sailfish says; these examples give it no reason.
pub(crate) fn pages() -> Result<Vec<(&'static str, String)>, RenderError> {
    let admin = |page, title| layout(page, title, Some(Role::Admin));
    let staff = |page, title| layout(page, title, Some(Role::Staff));
    let nobody = |page, title| layout(page, title, None);
    Ok(vec![
        ("login", login(nobody(Page::Login, "Sign in"), None).render_once()?),
        ("login-wrong", login(nobody(Page::Login, "Sign in"), Some("Name or password is wrong.")).render_once()?),
        ("logout", LogoutPage { layout: staff(Page::Logout, "Sign out") }.render_once()?),
        (
            "register",
            RegisterPage { layout: nobody(Page::Register, "Register"), ..RegisterPage::default() }.render_once()?,
        ),
        ("register-wrong", register_wrong(nobody(Page::Register, "Register")).render_once()?),
        ("screen", screen(nobody(Page::Screen, "Screen")).render_once()?),
        ("error", error(staff(Page::Error, "Not found")).render_once()?),
        ("index", index(staff(Page::Index, "My team")).render_once()?),
        ("index-new", index_new(staff(Page::Index, "My team")).render_once()?),
        ("index-as", index_as(admin(Page::Index, "Contestants")).render_once()?),
        ("chart", chart(staff(Page::Chart, "Chart")).render_once()?),
        ("chart-empty", ChartPage { standings: vec![], ..chart(admin(Page::Chart, "Chart")) }.render_once()?),
        ("projector", projector(ChartView::Projector).render_once()?),
        ("ticker", projector(ChartView::Ticker).render_once()?),
        ("reveal", projector(ChartView::Reveal).render_once()?),
        ("setting", setting(admin(Page::Setting, "Control")).render_once()?),
        ("setting-go", setting_go(admin(Page::Setting, "Control")).render_once()?),
        ("settings", settings(admin(Page::Settings, "Settings")).render_once()?),
        ("settings-change", settings_change(admin(Page::Settings, "Settings")).render_once()?),
        ("login-kept", login_kept(nobody(Page::Login, "Sign in")).render_once()?),
        ("kept", kept(staff(Page::Login, "Send it now?")).render_once()?),
        ("setting-token", tokens(admin(Page::Tokens, "Invitations")).render_once()?),
        ("slips", slips(admin(Page::Tokens, "Slips")).render_once()?),
        ("rules", rules(nobody(Page::Rules, "Rules")).render_once()?),
        (
            "rules-plain",
            RulesPage {
                version: Flip::FromStart,
                from: Flip::FromStart,
                kit_url: None,
                ..rules(staff(Page::Rules, "Rules"))
            }
            .render_once()?,
        ),
        (
            "rules-any",
            RulesPage {
                tls: TlsTrust::Any,
                from: Flip::At { ms: NOW_MS + 1_452_000 },
                kit_url: None,
                ..rules(nobody(Page::Rules, "Rules"))
            }
            .render_once()?,
        ),
        ("account", account(staff(Page::Account, "Account")).render_once()?),
        ("audit", audit(admin(Page::Audit, "Audit log")).render_once()?),
        ("report", report().render_once()?),
    ])
}

pub(crate) fn layout(page: Page, title: &str, role: Option<Role>) -> Layout {
    let viewer = role.map(|role| Viewer {
        user: if role == Role::Admin { 1 } else { 5 },
        name: if role == Role::Admin { "olivia" } else { "bananas" }.into(),
        display_name: if role == Role::Admin { "Olivia" } else { TEAMS[3] }.into(),
        role,
    });
    Layout {
        title: title.into(),
        page,
        contest: "Finals 2025".into(),
        viewer,
        csrf: "csrf-of-the-fixture".into(),
        build: "fixture".into(),
        version: "0.1.0".into(),
        request_id: None,
        now_ms: NOW_MS,
        head: ContestHead {
            round: Some(RoundNow {
                id: "0".repeat(31) + "3",
                number: 3,
                state: State::Running,
                scored: true,
                start_at: Some(START_MS),
                end_at: Some(NOW_MS + 1_200_000),
                phase: Some(2),
                phases: 4,
                has_breakpoint: false,
                climb: None,
                paused_at: None,
                frozen_at: None,
                revealed: false,
                reveal_waits: None,
            }),
            due: Some(Due {
                version: "v1",
                from: "EC2",
                version_at: Some(NOW_MS + 252_000),
                from_at: Some(NOW_MS + 852_000),
            }),
            validity: Some(ValidityNow {
                valid: false,
                figures: NOT_VALID,
                warn: true,
                unplayed_seconds: 12,
                cause: Some("a worker stood still".into()),
                causes: (role == Some(Role::Admin)).then(|| Causes {
                    late_generators: vec!["generator-2".into(), HOSTILE[0].into()],
                    house_failures: Some(0),
                }),
            }),
            stale_since: None,
            ended: false,
        },
        notices: vec![Notice {
            id: 4,
            level: Level::Info,
            text: "Lunch is at 12:30 in the hall; traffic goes on.".into(),
            at: UtcUs::from_ms((NOW_MS - 120_000) as u64),
            until: None,
        }],
        flash: None,
    }
}

fn login(layout: Layout, error: Option<&str>) -> LoginPage {
    LoginPage {
        layout,
        name: Field::new(if error.is_some() { HOSTILE[1] } else { "" }),
        next: "/chart".into(),
        error: error.map(str::to_owned),
        wait_seconds: error.map(|_| 42),
        kept: None,
    }
}

fn register_wrong(layout: Layout) -> RegisterPage {
    RegisterPage {
        layout,
        token: Field::new("7KQ4X-9M2PD-V1T8C-AAAAA-BBBBBB"),
        name: Field::wrong("bo", "This is shorter than 3 characters: add some."),
        display_name: Field::wrong(HOSTILE[0], "It is 41 characters long: leave one out."),
        password: Field::wrong("", "This password is among the first that are guessed: choose another."),
        error: Some("The team was not registered; the invitation is still good.".into()),
    }
}

fn screen(layout: Layout) -> ScreenPage {
    ScreenPage { layout, code: Field::wrong(HOSTILE[1], "This code is mistyped.") }
}

fn error(layout: Layout) -> ErrorPage {
    ErrorPage {
        layout: Layout { request_id: Some("01JD9Z4M".into()), ..layout },
        status: 404,
        title: "There is no such page".into(),
        message: "The address may be mistyped, or what it showed is gone. Go to the start and look from there.".into(),
        retry_after_seconds: None,
    }
}

pub(crate) fn standings() -> Vec<Standing> {
    let line = |(index, display_name): (usize, &&str)| {
        let place = index as i64;
        let id = UserKey::of_user(place + 2);
        Standing {
            rank: Some(index as u32 + 1),
            contestant: Contestant {
                id,
                name: format!("team{index}"),
                display_name: (*display_name).into(),
                category: (index % 3 == 0).then(|| HOSTILE[0].into()),
                hidden: false,
                disqualified: false,
                absent: false,
            },
            colour: index as u32,
            figures: Figures {
                points: 1_284_400 - place * place * 9_731 - place * 14_000,
                points_last_minute: 118_200 - place * 17_350,
                rate: 1_000 - index as u64 * 37,
                verified_permille: [Some(1_000), Some(998), Some(941), None][index % 4],
                p50_us: Some(820 + index as u64 * 310),
                p99_us: (index != 13).then_some(4_100 + index as u64 * 9_150),
                failures: index as u64 * index as u64 * 41,
                void: 3,
                holds: (index % 3 == 0).then_some(1_200),
                ..Figures::default()
            },
            rank_change: [0, 2, -1, 0, 1, -2, 0][index % 7],
            decided: [None, Some(DecidedBy::Points), Some(DecidedBy::Points), Some(DecidedBy::P99)][index % 4],
            state: [Some(TeamState::Playing), Some(TeamState::Failing), Some(TeamState::Parked), None][index % 4],
            state_since: Some(NOW_MS - 12_000),
        }
    };
    TEAMS.iter().enumerate().map(line).collect()
}

fn chart(layout: Layout) -> ChartPage {
    ChartPage {
        layout,
        standings: standings(),
        categories: vec![HOSTILE[0].into(), "student".into()],
        category: Some(HOSTILE[0].into()),
        live: "/live".into(),
        history: "/api/history".into(),
    }
}

fn projector(view: ChartView) -> ProjectorPage {
    ProjectorPage {
        layout: layout(Page::Chart, "Standings", None),
        view,
        standings: standings(),
        live: "/live?as=public".into(),
        history: "/api/history?as=public".into(),
        site: "flow.example".into(),
        qr: Qr::of("http://flow.example/", "Address of the contest"),
    }
}

fn failures() -> Vec<Failure> {
    let failure = |kind: &str, message: &str, expected: &str, received: &str, count, ago| Failure {
        at_ms: NOW_MS - ago,
        kind: kind.into(),
        message: message.into(),
        expected: expected.into(),
        received: received.into(),
        request: "GET / HTTP/1.1\r\nHost: 203.0.113.7\r\nToken: 8f14e45fceea167a5a36dedd4bea2543".into(),
        response: format!("HTTP/1.1 200 OK\r\nServer: {}\r\nVersion: {received}\r\nContent-Length: 0", HOSTILE[0]),
        count,
    };
    vec![
        failure("version", "Version is v2 and should be v1 until 10:14:12.", "v1", "v2", 412, 3_000),
        failure("timeout", "No whole answer came within 3 s.", "an answer", "nothing", 31, 41_000),
        failure("token", "The Token is of another request.", "8f14e45f…", HOSTILE[0], 2, 377_000),
    ]
}

fn index(layout: Layout) -> IndexPage {
    let header = |name, right, wrong, points| HeaderCount { name, right, wrong, points };
    IndexPage {
        layout,
        id: "u5".into(),
        display_name: TEAMS[3].into(),
        view_as: vec![],
        endpoint: EndpointCard {
            current: Some("http://203.0.113.7/".into()),
            set_at_ms: Some(START_MS - 3_600_000),
            coming: Some("You join the round at 10:00:07 UTC: from then on requests come, and count.".into()),
            form: Field::wrong("http://10.0.0.1", "10.0.0.1 is a private address: register a public one."),
        },
        score: ScoreCard {
            points: 1_154_821,
            rank: Some(4),
            of: 14,
            rank_change: 2,
            gap_ahead: Some(12_350),
            gap_behind: Some(80_117),
            frozen: false,
            beside_practice: None,
        },
        climb: Some(climb()),
        headers: vec![
            header("token", 588_203, 2, 58_820_100),
            header("version", 587_791, 414, 29_368_850),
            header("from", 588_205, 0, 29_410_250),
        ],
        health: Health {
            tone: Tone::Bad,
            title: "Failing".into(),
            message: format!("Nobody listens there {}", HOSTILE[0]),
            since_ms: Some(NOW_MS - 12_000),
        },
        ledger: ledger(),
        rivals: vec![("u2".into(), HOSTILE[0].into()), ("u3".into(), TEAMS[1].into())],
        errors: Some(failures()),
        probe: Some(Probe {
            at_ms: NOW_MS - 8_000,
            generator: "generator-1".into(),
            endpoint: "http://203.0.113.7/".into(),
            address: Some("203.0.113.7:80".into()),
            verdicts: Some([true, false, true]),
            latency_us: Some(2_310),
            message: "Version is v2 and should be v1.".into(),
            head: "HTTP/1.1 200 OK\r\nToken: 1b2f…\r\nVersion: v2\r\nFrom: EC2\r\nContent-Length: 0".into(),
        }),
        probe_id: None,
        practice: PracticeCard {
            refused: Some(PracticeRefused {
                message: "You practised a moment ago.",
                again_at_ms: Some(NOW_MS + 1_200_000),
            }),
            rate: Field::new("200"),
            seconds: Field::new("30"),
            waits: None,
            running: None,
            last: Some(PracticeResult {
                at_ms: START_MS - 900_000,
                message: "Done: 6,000 requests, 12 of them timed out.".into(),
                points: 1_195_200,
                p50_us: Some(1_200),
                p99_us: Some(48_000),
                climb: Some(climb()),
            }),
            most: Field::new("2000"),
        },
        sources: vec!["198.51.100.4".into(), "198.51.100.5".into()],
        advice: advice::ALL.to_vec(),
    }
}

fn ledger() -> Ledger {
    let round = |number, note: &str, counts| LedgerRound {
        number,
        note: note.into(),
        counts,
        points: 575_000,
        lines: ledger::lines(
            &Row {
                tally: Tally { token_right: 5_882, version_wrong: 41, timeout: 31, ..Tally::default() },
                ..Row::default()
            },
            &Rules::default(),
        ),
        is_sealed: number == 1,
        rank: (number == 1).then_some(4),
        p99_us: Some(41_000),
        holds: (number == 1).then_some(1_200),
        ..LedgerRound::default()
    };
    let rounds = vec![round(2, "not sealed yet", true), round(1, "", true)];
    Ledger::of(rounds, vec![(format!("Late start {}", HOSTILE[0]), 5_000)], "1".into())
}

fn index_new(layout: Layout) -> IndexPage {
    let full = index(layout);
    let head = ContestHead { round: None, ..full.layout.head.clone() };
    IndexPage {
        layout: Layout {
            head,
            flash: Some(Flash { good: true, text: "Welcome. Set your endpoint first.".into() }),
            ..full.layout
        },
        endpoint: EndpointCard::default(),
        score: ScoreCard { of: 14, ..ScoreCard::default() },
        climb: None,
        headers: full
            .headers
            .into_iter()
            .map(|header| HeaderCount { right: 0, wrong: 0, points: 0, ..header })
            .collect(),
        ledger: Ledger::default(),
        health: Health { tone: Tone::Bad, title: "No endpoint".into(), ..Health::default() },
        errors: Some(vec![]),
        probe: None,
        practice: PracticeCard { rate: Field::new("200"), seconds: Field::new("30"), ..PracticeCard::default() },
        ..full
    }
}

fn index_as(layout: Layout) -> IndexPage {
    let one = |(index, display_name): (usize, &&str)| ViewAs {
        user: index as i64 + 2,
        display_name: (*display_name).into(),
        chosen: index == 3,
    };
    let page = index(layout);
    let score = ScoreCard { frozen: true, rank: None, gap_ahead: None, gap_behind: None, ..page.score };
    IndexPage { view_as: TEAMS.iter().enumerate().map(one).collect(), score, errors: None, ..page }
}

fn plan() -> PlanGraph {
    let phase = |seconds, load, scored| PlanPhase { seconds, load, connections: 64, scored };
    PlanGraph::of(vec![
        phase(120.0, PlanLoad::Open { from: 200, to: 200 }, false),
        phase(600.0, PlanLoad::Open { from: 200, to: 4_000 }, true),
        phase(600.0, PlanLoad::Open { from: 4_000, to: 4_000 }, true),
        phase(120.0, PlanLoad::Closed { pipeline: 4 }, true),
    ])
}

fn rules(layout: Layout) -> RulesPage {
    RulesPage {
        layout,
        rules: Rules::default(),
        absent: Absent::Charged,
        rank_by: RankBy::Points,
        breakpoint_points: 0,
        version: Flip::At { ms: NOW_MS + 252_000 },
        from: Flip::AfterStart { seconds: 1_452 },
        plan: Some(plan()),
        sources: vec!["198.51.100.4".into(), "198.51.100.5".into()],
        test_sources: vec!["198.51.100.6".into()],
        kit_url: Some(KIT_URL.into()),
        ownership: true,
        tls: TlsTrust::Verify,
        changes: vec![ChangeLine { at_ms: NOW_MS - 60_000, text: format!("Token points 100 → 90 {}", HOSTILE[0]) }],
    }
}

fn account(layout: Layout) -> AccountPage {
    let session = |id, here, agent: &str| SessionLine {
        id,
        here,
        address: "192.0.2.17".into(),
        agent: agent.into(),
        started_at_ms: START_MS,
        seen_at_ms: NOW_MS - 30_000,
    };
    AccountPage {
        layout,
        display_name: Field::new(TEAMS[3]),
        contact: Some(Field::new(HOSTILE[0])),
        current: Field::wrong("", "This is not the current password."),
        password: Field::default(),
        sessions: vec![session(9, true, "Firefox on Linux"), session(7, false, HOSTILE[0]), session(6, false, "curl")],
    }
}

fn audit(layout: Layout) -> AuditPage {
    let line = |id, action: &str, subject: &str, before: &str, after: &str| AuditLine {
        id,
        at_ms: NOW_MS - id * 1_000,
        who: "olivia".into(),
        address: "192.0.2.4".into(),
        action: action.into(),
        told: Told { whom: subject.into(), ..Told::of(action, subject, Some(before), Some(after), &Names::default()) },
    };
    AuditPage {
        layout,
        lines: vec![
            line(41, "deadline.move", "version", "{\"version\":\"+20m\"}", "{\"version\":\"+25m\"}"),
            line(40, "contestant.adjust", HOSTILE[0], "", "{\"points\":5000,\"reason\":\"Late start\"}"),
            line(39, "round.arm", "3", "{\"state\":\"draft\"}", "{\"state\":\"armed\"}"),
        ],
        query: "\"&<".into(),
        before: Some(39),
    }
}

fn invitation_form() -> InvitationForm {
    InvitationForm { count: Field::new("10"), label: Field::default(), expires: Field::new("+7d"), role: Role::Staff }
}

fn tokens(layout: Layout) -> TokensPage {
    let line = |index: u64, status, label: &str, used_by: Option<&str>| TokenLine {
        index,
        id: index as i64,
        label: label.into(),
        status,
        role: if index == 1 { Role::Admin } else { Role::Staff },
        masked: "7KQ4X-…-…-…-…".into(),
        clear: (status == TokenStatus::Unused).then(|| format!("7KQ4X-9M2PD-V1T8C-ZZ0{index:02}-BBBBBB")),
        used_by: used_by.map(str::to_owned),
        used_at_ms: used_by.map(|_| START_MS),
        expires_at_ms: index.is_multiple_of(2).then_some(NOW_MS + 86_400_000),
        created_at_ms: START_MS - 86_400_000,
    };
    TokensPage {
        layout,
        rows: vec![
            line(1, TokenStatus::Used, "organisers", Some("olivia")),
            line(2, TokenStatus::Unused, "Hall A, table 3", None),
            line(3, TokenStatus::Unused, HOSTILE[0], None),
            line(4, TokenStatus::Used, "Hall A", Some(HOSTILE[1])),
            line(5, TokenStatus::Expired, "Hall B", None),
            line(6, TokenStatus::Revoked, HOSTILE[3], None),
        ],
        form: InvitationForm { count: Field::wrong("0", "Make 1 to 500 at once."), ..invitation_form() },
    }
}

fn slips(layout: Layout) -> SlipsPage {
    let slip = |index: u64| Slip {
        index,
        label: if index == 2 { HOSTILE[0].into() } else { format!("Hall A, table {index}") },
        clear: "7KQ4X-9M2PD-V1T8C-ZZ001-BBBBBB".into(),
        expires_at_ms: Some(NOW_MS + 86_400_000),
        qr: Qr::of("http://flow.example/register#t=7KQ4X-9M2PD-V1T8C-ZZ001-BBBBBB", "Link to register"),
    };
    SlipsPage { layout, slips: (1..=6).map(slip).collect(), address: "flow.example/register".into(), doubt: None }
}

fn generator(id: &str, light: Light, message: &str) -> GeneratorCheck {
    GeneratorCheck {
        id: id.into(),
        light,
        message: message.into(),
        beat_ms: NOW_MS - 200,
        age_s: 0,
        version: "flowtest-loadgen 0.1.0".into(),
        cores: 4,
        features: "recv_multishot, buf_ring, defer_taskrun".into(),
        rate: 54_000,
        clock_offset_us: Some(-1_240),
        clock_error_us: Some(310),
        invalid_seconds: if light == Light::Good { 0 } else { 3 },
        rate_ratio: Some(0.999_96),
        lag_p99_us: Some(84),
        backlog: 2,
        disk_free_bytes: 182_000_000_000,
        busy_percent: vec![61, 58, 63, 91],
    }
}

fn readiness() -> Readiness {
    let check = |name: &str, light, message: &str| Check { name: name.into(), light, message: message.into() };
    let contestant = |(index, display_name): (usize, &&str)| ContestantCheck {
        id: format!("u{}", index + 2),
        display_name: (*display_name).into(),
        light: [Light::Good, Light::Good, Light::Warn, Light::Bad][index % 4],
        endpoint: (index % 4 != 3).then(|| format!("http://203.0.113.{index}/")),
        probed_at_ms: (index % 4 != 3).then_some(NOW_MS - 60_000),
        reason: ["three right answers", "three right answers", "Version is v2 and should be v1", "has set no endpoint"]
            [index % 4]
            .into(),
    };
    Readiness {
        face: Face::Live,
        validity: Some(ValidityNow {
            valid: false,
            figures: NOT_VALID,
            warn: true,
            unplayed_seconds: 12,
            cause: Some(HOSTILE[0].into()),
            causes: Some(Causes { late_generators: vec![HOSTILE[0].into()], house_failures: Some(7) }),
        }),
        warnings: vec![HOSTILE[0].into()],
        adopt: true,
        missing: vec![
            "3 teams have set no endpoint: they start as waiting and join when ready.".into(),
            "generator-2 has its clock 31 ms off: wait for time synchronisation or leave it out.".into(),
        ],
        contestants: TEAMS.iter().enumerate().map(contestant).collect(),
        generators: vec![
            generator("generator-1", Light::Good, "plays"),
            generator("generator-2", Light::Bad, "clock is 31 ms off"),
        ],
        checks: vec![
            check("Redis", Light::Good, "7.0.15, appendonly, 0.4 ms"),
            check("House target", Light::Good, "three right answers"),
            check("Journal disk", Light::Warn, "room for 3.1 hours of this plan"),
            check("Feed", Light::Unknown, "no frame yet"),
        ],
    }
}

fn setting(layout: Layout) -> SettingPage {
    let team = |(index, display_name): (usize, &&str)| TeamLine {
        id: index as i64 + 2,
        name: format!("team{index}"),
        display_name: (*display_name).into(),
        category: (index % 4 == 0).then(|| HOSTILE[0].into()),
        light: [Light::Bad, Light::Warn, Light::Good, Light::Unknown][index.min(3)],
        state: TeamLineState::Now(
            [TeamState::Failing, TeamState::Waiting, TeamState::Playing, TeamState::Absent][index.min(3)],
        ),
        since_ms: (index < 3).then_some(NOW_MS - 60_000),
        note: HOSTILE[1].into(),
        rate: 2_000,
        verified_permille: Some(998),
        p99_us: Some(3_100),
        points: 1_284_400 - index as i64 * 81_000,
        hidden: index == 5,
        joined_at_ms: (index == 2).then_some(NOW_MS - 60_000),
    };
    let user = |id: i64, role, me| UserLine {
        id,
        name: format!("user{id}"),
        display_name: HOSTILE[id as usize % 4].into(),
        role,
        contact: (id == 5).then(|| HOSTILE[1].into()),
        disabled: id == 6,
        sessions: 2,
        login_at_ms: (id != 6).then_some(START_MS),
        me,
    };
    SettingPage {
        layout,
        revision: 17,
        guide: guide(),
        readiness: readiness(),
        round: RoundPanel {
            number: 3,
            state: State::Running,
            scored: true,
            actions: vec![RoundAction::Pause, RoundAction::Stop, RoundAction::Abort, RoundAction::Seal],
            doubts: vec![],
            start: Field::new("+30s"),
            generators: vec![],
            shares: [
                (0, Light::Good, "plays 1 of 2 since", Some(START_MS)),
                (1, Light::Warn, "plays nothing: it leaves", None),
            ]
            .map(|(index, light, message, at_ms)| ShareLine {
                id: HOSTILE[index].into(),
                light,
                message: message.into(),
                at_ms,
            })
            .to_vec(),
            missing: vec![MissingStream { id: "9f3a…c1".into(), message: "generator-2, last seen 40 s ago".into() }],
            unsealed: None,
            seal_reason: Field::default(),
            deadline: Field::default(),
            halted: false,
            unapplied: Vec::new(),
            frozen: false,
            over: false,
            freezes_at_ms: Some(NOW_MS + 1_800_000),
            freeze: Field::default(),
            reveals_at_ms: Some(NOW_MS + 2_400_000),
            reveal_waits: None,
            hides: None,
            reveal: Field::default(),
            show_version: 4,
            past: vec![PastRound {
                number: 2,
                state: Some(State::Sealed),
                scored: true,
                start_at_ms: Some(START_MS - 7_200_000),
                end_at_ms: Some(START_MS - 3_600_000),
                winner: Some(HOSTILE[0].into()),
                validity: Some(NOT_VALID),
                ruling: Some(Ruling::Void),
            }],
            invalid: [(2, Some(Ruling::Void)), (1, None)]
                .map(|(number, ruling)| InvalidRound {
                    id: "0".repeat(31) + &number.to_string(),
                    number,
                    validity: NOT_VALID,
                    ruling,
                })
                .into(),
        },
        summary: vec!["It takes 24m in 4 phases.".into()],
        announce: AnnounceForm { level: Level::Info, text: Field::default() },
        teams: TeamsPanel { lines: TEAMS.iter().enumerate().map(team).collect(), open: Some(team_detail()) },
        adjustments: [false, true]
            .map(|withdrawn| AdjustmentLine {
                id: 1 + i64::from(withdrawn),
                at_ms: START_MS,
                display_name: HOSTILE[2].into(),
                points: -2_500,
                reason: "Started the warm-up early".into(),
                by: "olivia".into(),
                withdrawn,
            })
            .into(),
        people: PeoplePanel {
            lines: vec![user(1, Role::Admin, true), user(5, Role::Staff, false), user(6, Role::Staff, false)],
            query: HOSTILE[0].into(),
            all: 14,
            found: 3,
        },
        screens: vec![
            ScreenLine { id: 1, label: "Main hall".into(), made_at_ms: START_MS, seen_at_ms: Some(NOW_MS - 1_000) },
            ScreenLine { id: 2, label: HOSTILE[3].into(), made_at_ms: START_MS, seen_at_ms: None },
        ],
        screen_label: Field::default(),
        screen_made: Some(ScreenMade {
            code: "7KQ4-X9M2".into(),
            address: "http://flow.example/screen".into(),
            qr: Qr::of("http://flow.example/screen/7KQ4X-9M2BC", "the board"),
            link: "http://flow.example/chart?view=projector&screen=SECRET".into(),
        }),
        screen_doubt: Some("This is where the dashboard listens."),
        invitations: invitation_form(),
        backup: Some(BackupLine { at_ms: NOW_MS - 3_600_000, file: "flowtest-20251123.db".into(), bytes: 18_400_000 }),
    }
}

fn contest_form() -> ContestForm {
    ContestForm {
        title: Field::new("Finals 2025"),
        house: Field::new("203.0.113.250:8080"),
        version_deadline: Field::new("+20m"),
        from_deadline: Field::new("2025-11-23T10:24:12Z"),
        zone: "Europe/Berlin".into(),
        timeout: Field::new("3s"),
        grace: Field::new("5s"),
        token: Field::new("100"),
        version: Field::new("50"),
        from: Field::new("50"),
        token_required: false,
        absent_free: false,
        plan: Field::new(
            "[[phase]]\nfor = \"2m\"\nrate = 200\nconnections = 64\nscored = false\n\n[[phase]]\nfor = \"10m\"\nrate = \"200..4000\"\nconnections = 64\n\n[[phase]]\nfor = \"10m\"\nrate = 4000\nconnections = 64\n\n[[phase]]\nfor = \"2m\"\nconnections = 64\npipeline = 4\n",
        ),
        allow: Field::default(),
        deny: Field::new("203.0.113.200/32"),
        allow_shared: false,
        ownership: true,
        holds_first: true,
        breakpoint_points: Field::new("10"),
        tls_any: true,
        error: None,
        frozen: Some("Rules, timeout and roster are frozen while round 3 runs; deadlines can be moved.".into()),
    }
}

fn setting_go(layout: Layout) -> SettingPage {
    let page = setting(layout);
    let readiness = readiness();
    let contestants = readiness.contestants.into_iter().filter(|one| one.light == Light::Good).collect();
    let generators: Vec<GeneratorCheck> = readiness.generators.into_iter().take(1).collect();
    let choice = |one: &GeneratorCheck| GeneratorChoice { id: one.id.clone(), chosen: true, light: one.light };
    let start = Field::wrong("+2s", "This is less than 5 s ahead: choose a later start.");
    SettingPage {
        round: RoundPanel {
            state: State::Draft,
            actions: vec![RoundAction::Arm, RoundAction::Next],
            doubts: vec![Doubt {
                key: "House target: it answers nothing.".into(),
                text: "House target: it answers nothing.".into(),
            }],
            start,
            generators: generators.iter().map(choice).collect(),
            halted: true,
            unapplied: Vec::new(),
            over: true,
            frozen: true,
            ..page.round
        },
        readiness: Readiness {
            face: Face::Prepare,
            validity: None,
            warnings: vec![],
            adopt: false,
            missing: vec![],
            contestants,
            generators,
            checks: readiness.checks[..2].to_vec(),
        },
        screen_made: None,
        screen_doubt: None,
        backup: None,
        ..page
    }
}

fn guide() -> Guide {
    let step = |done, command: Option<&str>, link: Option<(&str, &'static str)>| GuideStep {
        done,
        title: "Generator",
        text: HOSTILE[0].into(),
        command: command.map(str::to_owned),
        link: link.map(|(path, label)| (path.to_owned(), label)),
    };
    let steps = vec![
        step(true, None, None),
        step(false, Some("flowtest-loadgen serve --contest finals"), None),
        step(false, None, Some(("/setting/contest#f-house", "Name it"))),
    ];
    Guide { can_play: false, steps }
}

fn team_detail() -> TeamDetail {
    let after = "{\"disqualified\":\"<b>\"}";
    let told = Told::of("user.disqualify", "user:3", Some("{\"disqualified\":null}"), Some(after), &Names::default());
    TeamDetail {
        id: 4,
        endpoint: Some("http://203.0.113.4/".into()),
        tested: HOSTILE[1].into(),
        parked: Some(Parked { who: HOSTILE[0].into(), at_ms: Some(NOW_MS) }),
        hidden: false,
        disqualified: None,
        failures: vec![TeamFailure { at_ms: NOW_MS, kind: "status".into(), message: HOSTILE[0].into(), count: 26 }],
        seconds: Some(Strip::of(&[Span { verified: 9, wrong: 1, failed: 0 }])),
        history: vec![TeamHistory { at_ms: START_MS, who: "olivia".into(), told }],
        form: TeamForm { category: Field::new(HOSTILE[0]), ..TeamForm::default() },
    }
}

fn plan_editor() -> PlanEditor {
    let row = |length: &str, rate: &str| PlanRowLine {
        length: length.into(),
        rate: rate.into(),
        scored: true,
        ..PlanRowLine::default()
    };
    PlanEditor {
        text: contest_form().plan.value,
        rows: Some(vec![row("2m", "200"), row("10m", "200..4000"), row("", "")]),
        rows_max: 60,
        preview: PlanPreview {
            graph: Some(plan()),
            wrong: vec![(2, HOSTILE[0].into())],
            totals: vec!["It takes 24m in 4 phases.".into()],
            too_much: Some("That is more than these generators carry.".into()),
            deadlines: vec!["Version: v2 is expected from 20m after the start of each round on.".into()],
        },
    }
}

fn settings(layout: Layout) -> SettingsPage {
    SettingsPage {
        layout,
        revision: 17,
        base: "{\"title\":\"Finals\"}".into(),
        contest: contest_form(),
        plan: plan_editor(),
        difference: vec![],
        conflicts: vec![],
    }
}

fn settings_change(layout: Layout) -> SettingsPage {
    let page = settings(layout);
    let change = |what: &str, before: &str, after: &str, effect: Option<&str>| Change {
        what: what.into(),
        before: Words::Typed(before.into()),
        after: Words::Typed(after.into()),
        effect: effect.map(str::to_owned),
    };
    let wrong =
        Field::wrong("[[phase]]\nrate = many", "line 2: `phase[1].rate` is no number: write 1000 or \"1000..2000\".");
    SettingsPage {
        difference: vec![
            change("Version deadline", "+20m", "+25m", Some("Announced to everybody.")),
            change("Token points", "100", "150", Some("Counts from the next round that is armed.")),
        ],
        contest: ContestForm {
            plan: wrong,
            error: Some("The plan cannot be read; nothing was saved.".into()),
            ..page.contest
        },
        plan: PlanEditor { rows: None, ..page.plan },
        conflicts: vec![ConflictLine { label: "Timeout".into(), mine: HOSTILE[0].into(), theirs: HOSTILE[1].into() }],
        ..page
    }
}

fn login_kept(layout: Layout) -> LoginPage {
    let fields = "text=%22onmouseover%3D".into();
    LoginPage { kept: Some(Kept { path: "/setting/announce".into(), fields }), ..login(layout, None) }
}

fn kept(layout: Layout) -> KeptPage {
    let field =
        |name: &str, is_shown| KeptField { name: name.into(), label: name.into(), value: HOSTILE[0].into(), is_shown };
    KeptPage {
        layout,
        kept: Kept { path: "/setting/announce".into(), fields: String::new() },
        fields: vec![field("text", true), field("level", false)],
        page: "/setting#announce".into(),
    }
}

fn report_line(standing: Standing) -> ReportLine {
    ReportLine { rounds: vec![Some(standing.figures.points + 2_400), Some(100)], adjusted: -2_500, standing }
}

fn report_team(standing: Standing) -> ReportTeam {
    let spans: Vec<Span> =
        (0..120).map(|index| Span { verified: 100, wrong: index % 7, failed: index / 100 }).collect();
    ReportTeam {
        display_name: standing.contestant.display_name,
        points: standing.figures.points,
        verified: 9_000,
        answered: 9_100,
        failures: vec![("timeout", 20), ("refused", 3)],
        void: 4,
        p99_us: standing.figures.p99_us,
        seconds: (standing.rank != Some(2)).then(|| Strip::of(&spans)),
        climb: standing.figures.holds.map(|_| climb()),
    }
}

/// Somebody who passed, failed by latency, rested and failed by answers.
fn climb() -> ClimbCard {
    let step = |step, tried, verdict, right, p99_us| JudgedStep {
        step,
        tried,
        verdict: Some(verdict),
        sums: HoldSums { due: 4_000, verified: right, p99_us: Some(p99_us), ..HoldSums::default() },
    };
    let steps = vec![
        step(0, 1_200, HoldVerdict::Passed, 4_000, 12_500),
        step(1, 1_500, HoldVerdict::FailedByP99, 3_999, 311_000),
        step(2, 600, HoldVerdict::Rested, 4_000, 1_200),
        step(3, 1_350, HoldVerdict::FailedByVerified, 3_700, 20_000),
    ];
    let climbed = Climbed {
        holds: 1_200,
        holds_p99_us: Some(12_500),
        breaks_at: Some(1_350),
        breaks_by: Some(HoldVerdict::FailedByVerified),
        steps,
        ..Climbed::default()
    };
    ClimbCard::of(&climbed, climbed.message(), &Pass { verified: 0.995, p99_us: 50_000 })
}

fn report() -> ReportPage {
    let at: Vec<i64> = (0..120).map(|step| START_MS + step * 5_000).collect();
    let series = |line: &Standing| Series {
        display_name: line.contestant.display_name.clone(),
        colour: line.colour,
        points: (0..120i64).map(|step| Some(line.figures.points * step / 120 + (step * step * 37) % 9_000)).collect(),
    };
    let all: Vec<Series> = standings().iter().take(10).map(series).collect();
    let marks = [Mark { at_ms: START_MS + 252_000, label: "v2".into(), is_deadline: true }];
    ReportPage {
        title: format!("Finals {}", HOSTILE[0]),
        contest: "finals".into(),
        version: "0.1.0".into(),
        made_at_ms: NOW_MS,
        rules: Rules::default(),
        counted: vec![1],
        open: Some(2),
        standings: standings().into_iter().map(report_line).collect(),
        has_climbs: true,
        curves: Curves::of(&at, &all, &marks, &[at[40], at[41], at[90]], &[]),
        from_ms: START_MS,
        until_ms: NOW_MS,
        rounds: vec![ReportRound {
            number: 1,
            state: Some(State::Sealed),
            scored: true,
            start_at_ms: Some(START_MS),
            end_at_ms: Some(NOW_MS),
            sealed_at_ms: Some(NOW_MS + 7_000),
            deadlines: vec![("Version becomes v2", START_MS + 252_000)],
            phases: vec!["10:00 at 200 to 4000 a second, 64 connections".into()],
            teams: standings().into_iter().map(report_team).collect(),
            validity: Some(NOT_VALID),
            house_failures: Some(20_412),
            ruling: Some(Ruling::Void),
        }],
        adjustments: vec![ReportAdjustment {
            at_ms: NOW_MS,
            display_name: HOSTILE[2].into(),
            points: -2_500,
            reason: HOSTILE[0].into(),
            withdrawn: false,
        }],
    }
}
