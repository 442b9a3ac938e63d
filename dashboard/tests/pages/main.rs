//! What holds for every page, whatever it shows: it renders, hostile names are inert, the strict policy of the site is
//! kept, and every form can be trusted.

mod fixture;

use crate::fixture::pages;
use flowtest_testkit::hostile::NAMES;
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
fn the_rules_say_whose_certificates_are_taken() {
    let says = |page: &str, part: &str| rendered().iter().any(|(name, text)| *name == page && text.contains(part));
    let (verified, any) = ("from an authority that browsers trust, with the whole chain", "any certificate will do");
    assert!(says("rules", verified) && !says("rules", any));
    assert!(says("rules-any", any) && !says("rules-any", verified));
}

#[test]
fn the_rules_say_how_to_play_with_the_times_and_the_plan_of_this_contest() {
    let pages = rendered();
    let play = |name: &str| {
        let (_, text) = pages.iter().find(|(page, _)| *page == name).expect("the fixture has it");
        let [play] = between(text, "<h2>How to play</h2>", "</section>").collect::<Vec<_>>()[..] else {
            panic!("{name}")
        };
        play.to_owned()
    };
    let (mixed, known) = (play("rules"), play("rules-any"));
    // The deadline that is known, and what it is written as.
    assert!(mixed.contains("<code>v1,v2@2025-11-23T10:14:12Z</code>"), "{mixed}");
    // 4,000 requests a second by 500 each, and a sprint at the end.
    assert!(
        mixed.contains("At the most the plan brings <strong>4,000</strong>")
            && mixed.contains("<strong>8 servers</strong>")
    );
    assert!(mixed.contains("ask for as much as you have"));
    // One deadline counts from the start and one is an instant: nobody knows which comes first.
    assert!(mixed.contains("<code>VersionHeader</code> what is right at that deadline."), "{mixed}");
    assert!(known.contains("<code>VersionHeader</code> <code>v2</code>, which is right at that deadline."), "{known}");
    assert!(mixed.contains("After a pause,") && mixed.contains("a second stack"));
    // A service that AWS began with one task answers in a browser as well.
    assert!(mixed.contains("Look that as many tasks run") && mixed.contains("no room for as many again on EC2"));
    assert!(mixed.contains(&format!("<a href=\"{}\"", fixture::KIT_URL)));
    assert!(mixed.contains("Give each your login name") && !known.contains("the kit</a>"));
}

#[test]
fn who_takes_its_endpoint_away_is_told_what_the_rules_say_of_it() {
    let pages = rendered();
    let text = |name: &str| &pages.iter().find(|(page, _)| *page == name).expect("the fixture has it").1;
    for page in ["index", "rules"] {
        assert!(text(page).contains("Without an endpoint you do not play"), "{page}");
    }
}

#[test]
fn where_nothing_flips_nobody_is_told_to_move() {
    let pages = rendered();
    let text = |name: &str| &pages.iter().find(|(page, _)| *page == name).expect("the fixture has it").1;
    for words in ["After a pause,", "start ECS beside EC2", "flip by themselves", "before or after a deadline"] {
        assert!(text("rules").contains(words) && !text("rules-plain").contains(words), "{words}");
    }
}

#[test]
fn the_rules_say_where_tests_come_from() {
    let pages = rendered();
    let text = &pages.iter().find(|(page, _)| *page == "rules").expect("the fixture has it").1;
    let [tests] = between(text, "Tests and practice come from", "</section>").collect::<Vec<_>>()[..] else {
        panic!("{text}")
    };
    assert!(tests.contains("<code>198.51.100.6</code>") && !tests.contains("198.51.100.4"), "{tests}");
}

/// Markup taken out.
fn plain(html: &str) -> String {
    html.split('<').map(|part| part.rsplit('>').next().unwrap_or_default()).collect::<String>().to_lowercase()
}

#[test]
fn a_cell_is_called_on_a_phone_as_its_column_is_elsewhere() {
    // Of a heading that says more in its title, and of the line on the rules page that is about no header.
    const OTHERS: [&str; 3] = ["per s", "when", "costs"];
    for (name, page) in rendered() {
        for table in between(&page, "<table", "</table>") {
            let headings: Vec<String> = between(table, "<th", "</th>").map(|cell| plain(&format!("<{cell}"))).collect();
            for label in between(table, "data-label=\"", "\"").map(str::to_lowercase) {
                let is_one = headings.iter().any(|heading| heading.starts_with(&label));
                assert!(is_one || OTHERS.contains(&label.as_str()), "{name}: {label:?} is none of {headings:?}");
            }
        }
    }
}

#[test]
fn names_that_would_be_code_stand_as_text() {
    let mut seen = 0;
    for (name, page) in rendered() {
        for hostile in &NAMES[..2] {
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
fn the_report_says_what_a_protest_asks_for() {
    let pages = rendered();
    let (_, report) = pages.iter().find(|(name, _)| *name == "report").expect("there is a report");
    let said = [
        // standings whose points add up
        "<th class=\"r\">Round 1</th><th class=\"r\">Round 2, not sealed</th><th class=\"r\">Adjusted</th>",
        "<td class=\"r\">1,286,800</td><td class=\"r\">100</td><td class=\"r\">\u{2212}2,500</td><td class=\"r\"><b>1,284,400</b></td>",
        // the round: validity with its ruling, deadlines, phases, failures, void, seconds
        "<b>Not valid.</b>",
        "Ruling: voided by the organiser",
        "<li>Version becomes v2: ",
        "<li>10:00 at 200 to 4000 a second",
        "<td>timeout 20, refused 3</td><td class=\"r\">4</td>",
        "<path class=\"failed\" d=\"M",
        "<h2>Adjustments</h2>",
    ];
    for part in said {
        assert!(report.contains(part), "the report does not say {part}");
    }
}

#[test]
fn every_link_and_every_asset_is_a_path_of_ours() {
    for (name, page) in rendered() {
        for attribute in [" href=\"", " src=\"", " action=\""] {
            for target in between(&page, attribute, "\"") {
                let ours = target.starts_with('/') && !target.starts_with("//") || target.starts_with('#');
                // The kit's address is the organiser's, who starts the program with it.
                let ours = ours || (name == "rules" && attribute == " href=\"" && target == fixture::KIT_URL);
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
    assert!(page("settings-change").contains("name=\"confirm\" value=\"yes\""));
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
        // These two say how an endpoint is written.
        let says_how = name == "index.stpl" || name == "rules.stpl";
        assert!(says_how || !["http://", "https://"].iter().any(|scheme| template.contains(scheme)), "{name}");
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

/// sRGB of `--c0` to `--c11` on a light and on a dark page.
fn palettes() -> [Vec<[f64; 3]>; 2] {
    let css = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/app.css")).expect("text");
    let channel = |hex: &str, at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")) / 255.0;
    let colour = |hex: &str| [0, 2, 4].map(|at| channel(hex, at));
    let mut found = [Vec::new(), Vec::new()];
    for index in 0..12 {
        let pair = between(&css, &format!("--c{index}: light-dark("), ")").next().expect("a pair").to_owned();
        let (light, dark) = pair.split_once(", ").expect("two colours");
        found[0].push(colour(light.trim_start_matches('#')));
        found[1].push(colour(dark.trim_start_matches('#')));
    }
    found
}

fn linear(channel: f64) -> f64 {
    if channel <= 0.040_45 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
}

/// WCAG 2.2, contrast ratio.
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let luminance = |colour: [f64; 3]| {
        let [r, g, b] = colour.map(linear);
        0.2126 * r + 0.7152 * g + 0.0722 * b
    };
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// OKLab of a colour as somebody sees it whose cones are these: a matrix on linear RGB.
fn seen(colour: [f64; 3], cones: [[f64; 3]; 3]) -> [f64; 3] {
    let rgb = colour.map(linear);
    let dot = |row: [f64; 3], with: [f64; 3]| row.iter().zip(with).map(|(a, b)| a * b).sum::<f64>();
    let rgb = cones.map(|row| dot(row, rgb).clamp(0.0, 1.0));
    let lms = [
        [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
        [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
        [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
    ];
    let lms = lms.map(|row| dot(row, rgb).cbrt());
    let lab = [
        [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
        [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
        [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
    ];
    lab.map(|row| dot(row, lms))
}

#[test]
fn twelve_colours_differ_for_everybody_and_stand_out_from_the_page() {
    // Machado, Oliveira, Fernandes 2009, severity 1: nobody's, red-blind, green-blind, blue-blind.
    let cones = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152_286, 1.052_583, -0.204_868], [0.114_503, 0.786_281, 0.099_216], [-0.003_882, -0.048_116, 1.051_998]],
        [[0.367_322, 0.860_646, -0.227_968], [0.280_085, 0.672_501, 0.047_413], [-0.011_820, 0.042_940, 0.968_881]],
        [[1.255_528, -0.076_749, -0.178_779], [-0.078_411, 0.930_809, 0.147_602], [0.004_733, 0.691_367, 0.303_900]],
    ];
    // A difference of 0.02 is seen between two fields that touch; thin lines want more.
    const APART: f64 = 0.06;
    let pages = [[1.0, 1.0, 1.0], [19.0 / 255.0, 24.0 / 255.0, 32.0 / 255.0]];
    for (palette, page) in palettes().into_iter().zip(pages) {
        for (index, colour) in palette.iter().enumerate() {
            assert!(contrast(*colour, page) >= 3.0, "c{index} on {page:?}: {}", contrast(*colour, page));
            for (other, second) in palette.iter().enumerate().skip(index + 1) {
                for eyes in cones {
                    let (one, two) = (seen(*colour, eyes), seen(*second, eyes));
                    let apart = one.iter().zip(two).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                    assert!(apart >= APART, "c{index} and c{other} on {page:?} are {apart} apart for {eyes:?}");
                }
            }
        }
    }
}
