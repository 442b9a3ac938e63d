//! The projector: a link without an account, which can be taken back.

use crate::arena::Arena;
use crate::browser::{link_is, play, turn};

#[test]
fn a_projector_is_opened_by_a_link_until_it_is_revoked() {
    let Some(_turn) = turn() else { return };
    play(async {
        let mut arena = Arena::short();
        arena.team("alice", "Alice", &[]);
        let admin = arena.admin_browser().await;
        admin.go("/setting#screens").await;
        admin.fill_in("/setting/screen", "label", "Main hall").await;
        admin.submit("/setting/screen").await;
        let code = admin.words_of(".screen-code").await;
        admin.find(".screen-made .qr").await;

        let projector = arena.browser().await;
        projector.go("/screen").await;
        projector.fill("code", &code).await;
        projector.submit("/screen").await;
        // The room reads the address bar: no secret stands in it.
        projector.until_place(|place| place == "/chart?view=projector").await;
        projector.until("document.body.dataset.view === 'projector'").await;
        projector.until(&link_is("live")).await;
        projector.until_words("Alice").await;
        projector.assert_clean().await;
        // It opens the board and nothing else.
        projector.go("/setting").await;
        projector.until_place(|place| place.starts_with("/login")).await;

        admin.go("/setting#screens").await;
        admin.until_words("Main hall seen").await;
        admin.click("form[action^='/setting/screen/'][action$='/revoke'] button").await;
        admin.until("!document.querySelector(\"form[action$='/revoke']\")").await;
        projector.go("/chart?view=projector").await;
        projector.until("!document.body.dataset.view").await;
        admin.assert_clean().await;
        admin.close().await;
        projector.close().await;
    });
}
