//! Settings: all errors at once, a difference before anything is saved, two admins at once.

use crate::browser::{Answer, Browser, Site};
use flowtest_accounts::Actor;
use flowtest_contest::Control;
use flowtest_contest::contest::{Load, When};
use flowtest_contest::lifecycle::Change;
use flowtest_contest::policy::Ownership;
use flowtest_contract::RoundId;
use flowtest_contract::utc_us;
use flowtest_dashboard::control::form::SettingsForm;
use flowtest_dashboard::control::settings::Settings;
use flowtest_testkit::documents::generator_health;
use salvo::http::StatusCode;

const PLAN: &str = "[[phase]]\nfor = \"30s\"\nrate = 200\nconnections = 8\n";

fn fields<'a>(form: &'a SettingsForm, changed: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let all = [
        ("version_deadline", form.version_deadline.as_str()),
        ("from_deadline", &form.from_deadline),
        ("timeout", &form.timeout),
        ("grace", &form.grace),
        ("token", &form.token),
        ("version", &form.version),
        ("from", &form.from),
        ("plan", &form.plan),
        ("allow", &form.allow),
        ("deny", &form.deny),
        ("title", &form.title),
        ("house", &form.house),
    ];
    let is_other = |(name, _): &(&str, &str)| !changed.iter().any(|(other, _)| other == name);
    all.into_iter().filter(is_other).chain(changed.iter().copied()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_fields_are_named_at_once_and_keep_what_was_typed() {
    let site = Site::open().await;
    let mut ada = site.admin("ada").await;
    let form = SettingsForm::of(&site.app.controller.settings());
    let wrong = [
        ("version_deadline", "tomorrow-ish"),
        ("timeout", "soonish"),
        ("token", "many"),
        ("plan", "[[phase]]\nfor = \"30s\"\nrate = 0\nconnections = 1\n"),
        ("allow", "10.0.0.1/8"),
    ];
    let answer = ada.post("/setting/contest", &fields(&form, &wrong)).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.says("5 fields need another look").says("tomorrow-ish").says("soonish").says("many").says("rate = 0");
    answer.says("is no instant").says("no duration").says("whole number of points").says("Line 3").says("10.0.0.1/8");
    assert_eq!(*site.app.controller.settings(), Default::default(), "nothing is saved");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_networks_are_denied_as_the_document_has_room_for_beside_the_platforms_own() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    let controller = &site.app.controller;
    let form = SettingsForm::of(&controller.settings());
    let entries: Vec<String> = (0..1_000).map(|index| format!("198.18.{}.{}", index / 250, index % 250)).collect();
    let own = controller.control().expect("a document").contest.policy.deny.len();
    assert!(own > 0, "the platform's own");
    for (count, says) in [(1_000, "At most 936 entries can be denied"), (936, "The settings are saved.")] {
        let deny = entries[..count].join("\n");
        ada.follow("/setting/contest", &fields(&form, &[("deny", deny.as_str()), ("confirm", "yes")])).await.says(says);
        let control = controller.control().expect("a document");
        let read = Control::from_json(&control.to_json()).expect("everybody can read it");
        assert_eq!(read.contest.policy.deny.len(), if count == 936 { 936 + own } else { own });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_during_a_round_says_which_round_it_counts_for() {
    let (site, _) = Site::with_alice().await;
    let mut ada = site.admin("ada").await;
    let controller = &site.app.controller;
    site.redis.scoreboard().write_health("finals", &generator_health("g1", utc_us())).expect("Redis answers");
    let arm = [("start", "+60s"), ("scored", "yes"), ("generators", "g1"), ("confirm", "yes")];
    ada.follow("/setting/round/arm", &arm).await.says("The round is armed");
    let before = controller.control().expect("a document").contest.rules.timeout_us;
    ada.get("/setting/contest")
        .await
        .says("A round is armed. Rules, deadlines and plan that are saved now count from round 2 on");
    let form = SettingsForm::of(&controller.settings());
    let typed = fields(&form, &[("timeout", "4s"), ("deny", "203.0.113.0/24")]);
    let shown = ada.post("/setting/contest", &typed).await;
    shown.says("Counts from round 2 on.");
    // Networks count at once.
    assert_eq!(shown.body.matches("Counts from round 2 on.").count(), 1, "{}", shown.body);
    let sure: Vec<(&str, &str)> = typed.into_iter().chain([("confirm", "yes")]).collect();
    ada.follow("/setting/contest", &sure).await.says("Rules, deadlines and plan count from round 2 on.");
    assert_eq!(controller.control().expect("a document").contest.rules.timeout_us, before, "this round is as it was");
    ada.get("/rules").await.says("From round 2 on: Timeout: 3s → 4s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_without_an_offset_is_meant_where_it_was_typed_through_the_confirmation_too() {
    let site = Site::open().await;
    let mut ada = site.admin("ada").await;
    let form = SettingsForm::of(&site.app.controller.settings());
    let typed = fields(&form, &[("version_deadline", "2040-12-01T10:45"), ("zone", "+01:00")]);
    let shown = ada.post("/setting/contest", &typed).await;
    shown.says("2040-12-01T09:45:00Z");
    let asks =
        shown.body.split("id=\"difference\"").nth(1).and_then(|rest| rest.split("</form>").next()).expect("it asks");
    assert!(asks.contains("name=\"zone\" value=\"+01:00\""), "{asks}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_an_instant_of_the_page_wherever_it_stands_and_what_was_typed_is_none() {
    let site = Site::open().await;
    let mut ada = site.admin("ada").await;
    let form = SettingsForm::of(&site.app.controller.settings());
    let at = [("version_deadline", "2040-12-01T09:45:00Z"), ("title", "From 2040-12-01T09:45:00Z")];
    let mut typed = fields(&form, &at);
    const TIME: &str = "<time datetime=\"2040-12-01T09:45:00Z\"";
    let asked = ada.post("/setting/contest", &typed).await;
    asked.says(&format!("<ins>{TIME}")).says("<ins>From 2040-12-01T09:45:00Z</ins>");
    asked.says(&format!("Version: v2 is expected from {TIME}"));
    typed.push(("confirm", "yes"));
    ada.follow("/setting/contest", &typed).await.says("The settings are saved.");
    for (path, before) in
        [("/setting", "Version: v2 is expected from"), ("/rules", "v1 until"), ("/audit", "version:</span> <ins>")]
    {
        ada.get(path).await.says(&format!("{before} {TIME}").replace("> <time", "><time"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_shown_confirmed_saved_audited_and_announced() {
    let site = Site::open().await;
    let mut ada = site.admin("ada").await;
    let form = SettingsForm::of(&site.app.controller.settings());
    let typed = fields(&form, &[("plan", PLAN), ("token", "90"), ("title", "The finals")]);
    let shown = ada.post("/setting/contest", &typed).await;
    assert_eq!(shown.status, StatusCode::OK);
    shown.says("Save these changes?").says("<del>100</del>").says("<ins>90</ins>").says("a verified answer");
    assert_eq!(site.app.controller.settings().rules.token, 100, "nothing is saved before it is confirmed");
    let mut confirmed = typed.clone();
    confirmed.push(("confirm", "yes"));
    ada.follow("/setting/contest", &confirmed).await.says("The settings are saved.");
    let settings = site.app.controller.settings();
    assert_eq!((settings.rules.token, settings.phases.len(), settings.title.as_str()), (90, 1, "The finals"));
    assert!(site.audited().await.contains(&("ada".into(), "setting.put".into())));
    // On no page but in the log of changes.
    let shown = site.app.accounts.active_announcements(utc_us()).await.expect("announcements");
    assert_eq!(shown, []);
    let told = site.app.accounts.announcements().await.expect("announcements");
    assert!(told.len() == 1 && told[0].text.contains("100 → 90"), "{told:?}");
    ada.get("/rules").await.says("100 → 90");
    assert!(!ada.get("/chart").await.body.contains("100 → 90"));
    ada.follow("/setting/contest", &confirmed).await.says("Nothing differs");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_admins_who_edit_at_once_the_slower_one_is_told_who_was_faster() {
    let site = Site::open().await;
    let (mut ada, mut bea) = (site.admin("ada").await, site.admin("bea").await);
    let house = [("house", "house.test:8080"), ("confirm", "yes")];
    let form = SettingsForm::of(&site.app.controller.settings());
    // The house alone makes a contest.
    ada.follow("/setting/contest", &fields(&form, &house)).await.says("house.test:8080");
    let form = SettingsForm::of(&site.app.controller.settings());
    let page = bea.get("/setting").await;
    let faster = fields(&form, &[("token", "90"), ("confirm", "yes")]);
    ada.follow("/setting/contest", &faster).await.says("The settings are saved.");
    let slower = fields(&form, &[("token", "80"), ("confirm", "yes")]);
    let answer = bea.post_from(&page, "/setting/contest", &slower).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    bea.get("/setting").await.says("Ada was faster");
    // Nor is she shown a difference in which ada's change is silently taken back.
    let answer = bea.post_from(&page, "/setting/contest", &fields(&form, &[("token", "80")])).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    bea.get("/setting").await.says("Ada was faster");
    // A page that comes back with an error is still about what she had looked at.
    let wrong = bea.post_from(&page, "/setting/contest", &fields(&form, &[("token", "many")])).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    bea.post_from(&wrong, "/setting/contest", &slower).await;
    bea.get("/setting").await.says("Ada was faster");
    assert_eq!(site.app.controller.settings().rules.token, 90);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_between_the_difference_and_its_confirmation_is_not_lost() {
    let site = Site::open().await;
    let (mut ada, mut bea) = (site.admin("ada").await, site.admin("bea").await);
    let form = SettingsForm::of(&site.app.controller.settings());
    let house = [("house", "house.test:8080"), ("confirm", "yes")];
    ada.follow("/setting/contest", &fields(&form, &house)).await.says("house.test:8080");
    let form = SettingsForm::of(&site.app.controller.settings());
    let difference = bea.post("/setting/contest", &fields(&form, &[("token", "80")])).await;
    difference.says("Save these changes?");
    ada.follow("/setting/contest", &fields(&form, &[("grace", "9s"), ("confirm", "yes")])).await.says("are saved");
    let confirmed = fields(&form, &[("token", "80"), ("confirm", "yes")]);
    bea.post_from(&difference, "/setting/contest", &confirmed).await;
    bea.get("/setting").await.says("Ada was faster");
    let rules = site.app.controller.settings().rules;
    assert_eq!((rules.token, rules.grace_us), (100, 9_000_000));
}

/// The form of a page as a browser sends it that touched nothing but these fields.
fn filled<'a>(page: &'a Answer, changed: &[(&'a str, &'a str)]) -> Vec<(&'a str, String)> {
    let mut fields: Vec<(&str, String)> = page.form("/setting/contest");
    for (name, value) in changed {
        match fields.iter_mut().find(|(field, _)| field == name) {
            Some(field) => field.1 = (*value).to_owned(),
            None => fields.push((name, (*value).to_owned())),
        }
    }
    fields
}

async fn send(browser: &mut Browser<'_>, page: &Answer, path: &str, changed: &[(&str, &str)]) -> Answer {
    let fields = filled(page, changed);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.send(path, &fields).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_tabs_change_apart_is_put_together() {
    let site = Site::open().await;
    let mut ada = site.admin("ada").await;
    let (one, other) = (ada.get("/setting/contest").await, ada.get("/setting/contest").await);
    let saved = send(&mut ada, &one, "/setting/contest", &[("token", "90"), ("confirm", "yes")]).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    // The tab of before goes on, and asks about its own change alone.
    let asked = send(&mut ada, &other, "/setting/contest", &[("grace", "9s")]).await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.body);
    asked.says("<ins>9s</ins>");
    assert!(!asked.body.contains("<ins>100</ins>"), "the first tab's points are not taken back");
    let saved = send(&mut ada, &other, "/setting/contest", &[("grace", "9s"), ("confirm", "yes")]).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    let rules = site.app.controller.settings().rules;
    assert_eq!((rules.token, rules.grace_us), (90, 9_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_change_alike_is_shown_with_both_texts() {
    let site = Site::open().await;
    let (mut ada, mut bea) = (site.admin("ada").await, site.admin("bea").await);
    let page = bea.get("/setting/contest").await;
    let hers = ada.get("/setting/contest").await;
    send(&mut ada, &hers, "/setting/contest", &[("timeout", "5s"), ("token", "90"), ("confirm", "yes")]).await;
    let asked =
        send(&mut bea, &page, "/setting/contest", &[("timeout", "4s"), ("grace", "9s"), ("confirm", "yes")]).await;
    assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY);
    asked.says("Somebody else has changed the same").says(">4s<").says(">5s<");
    assert_eq!(site.app.controller.settings().rules.timeout_us, 5_000_000, "nothing is saved");
    // Whoever has seen both decides.
    let decided = send(&mut bea, &asked, "/setting/contest", &[("confirm", "yes")]).await;
    assert_eq!(decided.status, StatusCode::SEE_OTHER, "{}", decided.body);
    let rules = site.app.controller.settings().rules;
    assert_eq!((rules.timeout_us, rules.token, rules.grace_us), (4_000_000, 90, 9_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_edited_as_rows_without_a_script() {
    let site = Site::open().await;
    let mut ada = site.admin("ada").await;
    let page = ada.get("/setting/contest").await;
    page.says("value=\"1m\"").says("It takes 1m in 1 phase").says("No generator is heard");
    // The first spare row becomes a phase; the text that was shown is no change.
    let second = [("phase_1_for", "30s"), ("phase_1_rate", "100..200"), ("phase_1_scored", "no")];
    let preview = send(&mut ada, &page, "/setting/contest/preview", &second).await;
    preview.says("It takes 1m 30s in 2 phases").says("100 to 200 requests/s").says("not scored");
    assert_eq!(site.app.controller.settings().phases.len(), 1, "a preview saves nothing");
    let mut confirmed = second.to_vec();
    confirmed.push(("confirm", "yes"));
    let saved = send(&mut ada, &page, "/setting/contest", &confirmed).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    let phases = site.app.controller.settings().phases.clone();
    assert_eq!((phases.len(), phases[1].scored, phases[1].duration_us), (2, false, 30_000_000));
    // A row that is emptied goes.
    let page = ada.get("/setting/contest").await;
    let empty = ["phase_0_for", "phase_0_rate", "phase_0_connections", "phase_0_pipeline"].map(|name| (name, ""));
    let saved = send(&mut ada, &page, "/setting/contest", &[&empty[..], &[("confirm", "yes")]].concat()).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    assert_eq!(site.app.controller.settings().phases, phases[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phase_that_cannot_be_read_is_named_beside_those_that_can() {
    let site = Site::open().await;
    let mut ada = site.admin("ada").await;
    let page = ada.get("/setting/contest").await;
    let text = format!("{PLAN}\n[[phase]]\nfor = \"30s\"\nrate = 5\nconnection = 8\n");
    let answer = send(&mut ada, &page, "/setting/contest/preview?part", &[("plan", &text)]).await;
    answer.says("Phase 2 cannot be read.").says("did you mean `connections`?").says("200 requests/s");
    // Rows and text that both were changed: nobody knows which is meant.
    let both = [("plan", PLAN), ("phase_0_for", "9m")];
    let answer = send(&mut ada, &page, "/setting/contest", &both).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.says("were both changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_deadline_says_what_it_means() {
    let site = Site::open().await;
    let mut ada = site.admin("ada").await;
    let page = ada.get("/setting/contest").await;
    page.says("Left empty, v2 is expected from the first request on.");
    page.says("From: ECS is expected from the first request on.");
    let answer = send(&mut ada, &page, "/setting/contest/preview", &[("from_deadline", "+20s")]).await;
    answer.says("From: ECS is expected from 20s after the start of each round on.");
}

/// The rules page of other settings.
async fn rules_of(site: &Site, reader: &mut Browser<'_>, change: impl FnOnce(&mut Settings)) -> String {
    let controller = &site.app.controller;
    let mut settings = controller.settings().as_ref().clone();
    change(&mut settings);
    controller.save_settings(None, settings, &Actor::program(), utc_us()).await.expect("settings");
    reader.get("/rules").await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_page_says_who_fails_a_phase_with_several_requests_in_flight() {
    let site = Site::open().await;
    let alice = site.contestant("alice").await;
    let mut alice = site.sign_in(alice).await;
    for (pipeline, is_said) in [(1, false), (2, true)] {
        let page = rules_of(&site, &mut alice, |settings| settings.phases[0].load = Load::Closed { pipeline }).await;
        assert_eq!(page.contains("fails it by nature"), is_said, "{pipeline} in flight: {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_page_says_that_each_answer_names_whose_server_it_is_where_that_is_asked_for() {
    let site = Site::open().await;
    let alice = site.contestant("alice").await;
    let mut alice = site.sign_in(alice).await;
    for (ownership, is_said) in [(Ownership::Off, false), (Ownership::Header, true)] {
        let page = rules_of(&site, &mut alice, |settings| settings.policy.ownership = ownership).await;
        // In the answer that is to come, the rule, the samples and the reference server.
        for part in ["Team: your-login-name", "Whose server it is:", "add_header Team", "--team your-login-name"] {
            assert_eq!(page.contains(part), is_said, "{ownership:?}: {part}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rehearsal_the_rules_name_the_deadlines_of_the_settings_and_no_instant_of_what_is_over() {
    const SECOND: u64 = 1_000_000;
    let site = Site::open().await;
    let alice = site.contestant("alice").await;
    let (controller, program) = (&site.app.controller, Actor::program());
    let save = async |version: u64, from: u64| {
        let mut settings = controller.settings().as_ref().clone();
        settings.deadlines.version = Some(When::AfterStart { us: version * SECOND });
        settings.deadlines.from = Some(When::AfterStart { us: from * SECOND });
        controller.save_settings(None, settings, &program, utc_us()).await.expect("settings");
    };
    save(30, 40).await;
    controller.set_endpoint(&alice, "alice.test", &program, utc_us()).await.expect("an endpoint");
    let mut alice = site.sign_in(alice).await;
    let (round, start) = (RoundId::from_bits(7), utc_us() + 10 * SECOND);
    let arm = Change::Arm { round, start_at: start, scored: false, generators: vec!["g1".to_owned()] };
    controller.change(None, arm, "A test.", &program, utc_us()).await.expect("armed");
    alice.get("/rules").await.says("<code>v1,v2@").says("<code>VersionHeader</code> <code>v2</code>");
    for (step, after) in [(Change::Begin, 0), (Change::Stop, SECOND), (Change::Seal, 3 * SECOND)] {
        controller.change(None, step, "A test.", &program, start + after).await.expect("sealed");
    }
    // The real hour, with the deadlines in the other order.
    save(2_700, 1_200).await;
    let page = alice.get("/rules").await;
    page.says("v1 until 45:00 after the start, then v2").says("EC2 until 20:00 after the start, then ECS");
    page.says("<code>VersionHeader</code> <code>v1</code>");
    assert!(!page.body.contains("v1,v2@"), "an instant of the rehearsal");
}
