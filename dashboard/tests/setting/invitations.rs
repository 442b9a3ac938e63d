//! Invitations: made, listed, printed, exported, revoked.

use crate::browser::Site;
use flowtest_contract::rules::UtcUs;
use salvo::http::StatusCode;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_made_listed_printed_and_revoked() {
    let site = Site::open().await;
    let mut ada = site.admin("ada").await;
    let fields = [("count", "3"), ("label", "Room 5"), ("expires", "+7d"), ("role", "staff")];
    let page = ada.follow("/setting/invitations", &fields).await;
    page.says("3 invitations are made").says("Room 5").says("Empty: a year from now");
    let invites = site.app.accounts.invites(flowtest_contract::utc_us()).await.expect("invitations");
    let token = invites[0].token.as_ref().expect("a token").reveal().to_owned();
    let slips = ada.get("/setting-token/slips").await;
    slips.says("<svg").says(&token).says("http://192.0.2.1:8000/register").says("--public-url");
    assert!(!slips.body.contains("127.0.0.1:5800"), "what a request says is followed by nobody");
    let ids: Vec<String> = invites.iter().map(|invite| invite.id.to_string()).collect();
    let answer = ada.post("/setting-token/revoke", &[("id", &ids[0]), ("id", &ids[1])]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    ada.get("/setting-token").await.says("2 of 2 can be used no more");
    assert!(!ada.get("/setting-token/slips").await.body.contains(&token));
    ada.follow("/setting-token/revoke", &[]).await.says("None was chosen");
    let answer = ada.post("/setting-token/revoke", &[("id", "x")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_invitations_runs_nothing_in_a_spreadsheet() {
    let site = Site::open().await;
    let mut ada = site.admin("ada").await;
    let fields = [("count", "1"), ("label", "=cmd|' /C calc'!A0"), ("expires", ""), ("role", "staff")];
    ada.follow("/setting/invitations", &fields).await.says("1 invitation is made");
    let table = ada.get("/setting-token/export.csv").await;
    table.says("'=cmd|").says("unused");
    assert!(site.audited().await.contains(&("ada".into(), "export".into())), "{:?}", site.audited().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_fields_are_told_together_and_keep_what_was_typed() {
    let site = Site::open().await;
    let mut ada = site.admin("ada").await;
    let fields = [("count", "9999"), ("label", "kept"), ("expires", "2001-01-01T00:00:00Z"), ("role", "admin")];
    let answer = ada.post("/setting/invitations", &fields).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.says("whole number from 1 to").says("lies in the past").says("kept").says("9999");
    let fields = [("count", "1"), ("label", ""), ("expires", ""), ("role", "root")];
    let answer = ada.post("/setting/invitations", &fields).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.says("&quot;root&quot; is no role");
    assert!(site.app.accounts.invites(UtcUs::EPOCH).await.expect("invitations").is_empty());
}
