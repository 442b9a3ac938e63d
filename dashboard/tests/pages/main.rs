//! What holds for every page, whatever it shows: it renders, hostile names are inert, the strict policy of the site is
//! kept, and every form can be trusted.

mod fixture;

use crate::fixture::{HOSTILE, pages};
use std::path::Path;

/// All templates by name.
fn templates() -> Vec<(String, String)> {
    files("templates")
}

fn files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).expect("the folder is part of the package");
    let mut files: Vec<(String, String)> = entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("text"))
        })
        .collect();
    files.sort();
    files
}

fn rendered() -> Vec<(&'static str, String)> {
    pages().expect("every fixture renders")
}

/// What stands between two marks, each time.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open).skip(1).filter_map(move |rest| rest.split(close).next())
}

#[test]
fn every_page_is_whole_and_says_whose_contest_it_is() {
    for (name, page) in rendered() {
        assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"), "{name}");
        assert_eq!(page.matches("<h1").count(), 1, "{name} has one heading");
        assert_eq!(page.matches("<main").count(), 1, "{name} has one main part");
        assert!(page.contains("Finals"), "{name}");
    }
}

#[test]
fn names_that_would_be_code_stand_as_text() {
    let mut seen = 0;
    for (name, page) in rendered() {
        for hostile in &HOSTILE[..2] {
            assert!(!page.contains(hostile), "{name} holds {hostile} as it is");
        }
        assert!(!page.contains("\" onmouseover"), "{name} leaves an attribute open");
        seen += page.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count();
    }
    assert!(seen > 20, "the fixtures show hostile names: {seen}");
}

#[test]
fn no_page_needs_more_than_the_strict_policy_allows() {
    for (name, page) in rendered().into_iter().filter(|(name, _)| *name != "report") {
        assert!(!page.contains(" style="), "{name} has a style attribute");
        assert!(!page.contains("<style"), "{name} has a style of its own");
        assert!(!page.contains("javascript:"), "{name}");
        for script in between(&page, "<script", "</script>") {
            assert!(script.contains("src=\"/static/fixture/"), "{name} has an inline script: {script}");
            assert!(script.ends_with('>'), "{name} has an inline script: {script}");
        }
        for tag in between(&page, "<", ">") {
            let names: String = tag.split('"').step_by(2).collect();
            let handler = names.split_whitespace().skip(1).any(|word| word.starts_with("on") && word.contains('='));
            assert!(!handler, "{name} has a handler in <{tag}>");
        }
    }
}

#[test]
fn the_report_fetches_nothing_and_runs_nothing() {
    let pages = rendered();
    let (_, report) = pages.iter().find(|(name, _)| *name == "report").expect("there is a report");
    for foreign in ["<script", "src=", "href=", "url(", "@import"] {
        assert!(!report.contains(foreign), "the report holds {foreign}");
    }
}

#[test]
fn every_link_and_every_asset_is_a_path_of_ours() {
    for (name, page) in rendered() {
        for attribute in [" href=\"", " src=\"", " action=\""] {
            for target in between(&page, attribute, "\"") {
                let ours = target.starts_with('/') && !target.starts_with("//") || target.starts_with('#');
                assert!(ours, "{name} leads to {target}");
            }
        }
    }
}

#[test]
fn every_form_that_changes_something_carries_the_token() {
    let mut forms = 0;
    for (name, page) in rendered() {
        for form in between(&page, "<form", "</form>") {
            let head = form.split('>').next().unwrap_or_default();
            let token = form.contains("name=\"csrf_token\" value=\"csrf-of-the-fixture\"");
            if head.contains("method=\"post\"") {
                assert!(token, "{name}: <form{head}>");
                forms += 1;
            } else {
                assert!(head.contains("method=\"get\"") && !token, "{name}: <form{head}>");
            }
            // What the page showed, against lost updates: of the document, and of the freeze.
            let guards = [
                ("name=\"revision\" value=\"17\"", &["round/", "contest\"", "halt", "deadline"][..]),
                ("name=\"show\" value=", &["freeze", "unfreeze", "reveal", "end"][..]),
            ];
            for (field, actions) in guards {
                let guarded = |action: &&str| head.contains(&format!("action=\"/setting/{action}"));
                assert!(!actions.iter().any(guarded) || form.contains(field), "{name}: <form{head} lacks {field}");
            }
        }
    }
    assert!(forms > 100, "{forms} forms");
}

#[test]
fn no_page_uses_an_id_twice_and_every_label_has_its_field() {
    for (name, page) in rendered() {
        let mut ids: Vec<&str> = between(&page, " id=\"", "\"").collect();
        ids.sort_unstable();
        let twice = ids.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(twice, None, "{name}");
        for target in between(&page, " for=\"", "\"") {
            assert!(ids.binary_search(&target).is_ok(), "{name} labels {target}, which is not there");
        }
    }
}

#[test]
fn what_was_typed_stays_and_what_is_wrong_is_said_beside_it() {
    let pages = rendered();
    let page = |wanted: &str| &pages.iter().find(|(name, _)| *name == wanted).expect("a page").1;
    let register = page("register-wrong");
    assert!(register.contains("value=\"7KQ4X-9M2PD-V1T8C-AAAAA-BBBBBB\""));
    assert!(register.contains("aria-describedby=\"f-name-error f-name-hint\" aria-invalid=\"true\""));
    assert!(page("setting-change").contains("name=\"confirm\" value=\"yes\""));
    for (name, page) in &pages {
        for input in between(page, "<input", ">").filter(|input| input.contains("type=\"password\"")) {
            assert!(input.contains("value=\"\""), "{name} writes a password into the page");
        }
    }
}

#[test]
fn a_round_that_is_not_valid_is_told_in_words_where_it_is_watched() {
    let pages = rendered();
    let banner = |wanted: &str| {
        let page = &pages.iter().find(|(name, _)| *name == wanted).expect("a page").1;
        between(page, "data-validity>", "</div></div>")
            .next()
            .unwrap_or_else(|| panic!("no banner on {wanted}"))
            .to_owned()
    };
    for page in ["index", "chart", "projector", "ticker", "reveal"] {
        let banner = banner(page);
        assert!(banner.contains("Our own machine was late") && banner.contains(">59<"), "{page}: {banner}");
        assert!(!banner.contains("generator-2"), "{page} says whose fault it is");
    }
    for page in ["setting", "chart-empty", "index-as"] {
        let banner = banner(page);
        assert!(banner.contains(">generator-2, &lt;script&gt;") && banner.contains(">20,412<"), "{page}: {banner}");
        assert!(banner.contains("docs/generators.md"), "{page} says what to do");
    }
    let report = &pages.iter().find(|(name, _)| *name == "report").expect("a report").1;
    assert_eq!(report.matches("<rect ").count(), 3, "each span with a second that is not valid is shaded");
}

#[test]
fn templates_print_raw_only_what_json_or_a_component_makes() {
    for (name, template) in templates() {
        for raw in between(&template, "<%-", "%>") {
            assert!(raw.contains("| json"), "{name} prints {raw} as it is");
        }
        assert!(!template.contains("http://") || name == "index.stpl" || name == "rules.stpl", "{name}");
        assert!(!template.contains("https://"), "{name}");
    }
}

#[test]
fn no_asset_of_ours_fetches_from_elsewhere() {
    for (name, text) in files("assets") {
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for foreign in ["http://", "https://", "@import", "eval(", "innerHTML", "insertAdjacentHTML", "document.write"]
        {
            assert!(!text.contains(foreign), "{name} holds {foreign}");
        }
    }
}

#[test]
fn what_others_wrote_is_what_its_list_says() {
    #[derive(serde::Deserialize)]
    struct Vendor {
        package: Vec<Package>,
    }
    #[derive(serde::Deserialize)]
    struct Package {
        sha256: std::collections::BTreeMap<String, String>,
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vendor");
    let list = std::fs::read_to_string(folder.join("VENDOR.toml")).expect("a list");
    let list: Vendor = toml::from_str(&list).expect("TOML");
    let mut named = vec!["VENDOR.toml".to_owned()];
    for (file, wanted) in list.package.into_iter().flat_map(|package| package.sha256) {
        use sha2::Digest as _;
        let bytes = std::fs::read(folder.join(&file)).expect("the file is there");
        let hash: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, wanted, "{file}");
        named.push(file);
    }
    named.sort();
    let there: Vec<String> = files("assets/vendor").into_iter().map(|(name, _)| name).collect();
    assert_eq!(there, named);
}
