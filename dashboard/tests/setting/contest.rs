//! Settings: all errors at once, a difference before anything is saved, two admins at once.

use crate::browser::Site;
use flowtest_dashboard::control::form::SettingsForm;
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
async fn a_change_is_shown_confirmed_saved_audited_and_announced() {
    let site = Site::open().await;
    let mut ada = site.admin("ada").await;
    let form = SettingsForm::of(&site.app.controller.settings());
    let typed = fields(&form, &[("plan", PLAN), ("token", "90"), ("title", "The finals")]);
    let shown = ada.post("/setting/contest", &typed).await;
    assert_eq!(shown.status, StatusCode::OK);
    shown.says("Save these changes?").says("<del>100</del>").says("<ins>90</ins>").says("a wholly right answer");
    assert_eq!(site.app.controller.settings().rules.token, 100, "nothing is saved before it is confirmed");
    let mut confirmed = typed.clone();
    confirmed.push(("confirm", "yes"));
    ada.follow("/setting/contest", &confirmed).await.says("The settings are saved.");
    let settings = site.app.controller.settings();
    assert_eq!((settings.rules.token, settings.phases.len(), settings.title.as_str()), (90, 1, "The finals"));
    assert!(site.audited().await.contains(&("ada".into(), "setting.put".into())));
    let told = site.app.accounts.active_announcements().await.expect("announcements");
    assert!(told.len() == 1 && told[0].text.contains("100 → 90"), "{told:?}");
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
