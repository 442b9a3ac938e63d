//! Somebody who visits the dashboard without a browser: keeps cookies, reads forms as they stand on the page, and sends
//! them as a browser would, with whatever they were filled with. It never runs a script.

use crate::error::{Error, Result};
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// A login waits for its turn at the passwords; nothing takes longer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Far above any page: the history of a long contest.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// A form leads to one page; nothing leads further.
const REDIRECTS_MAX: usize = 6;

/// One visitor with cookies of its own.
#[derive(Debug)]
pub struct Visitor {
    agent: ureq::Agent,
    /// `http://127.0.0.1:PORT`
    origin: String,
    /// By name. They all belong to this one origin, and live as long as the visitor unless they are taken back.
    cookies: Mutex<BTreeMap<String, String>>,
}

/// What came back, after redirects.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    /// Path and query that it ended at.
    pub path: String,
    pub text: String,
}

/// A form as it stands on a page: where it goes, and what is in its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    action: String,
    fields: Vec<(String, String)>,
}

impl Visitor {
    pub fn new(origin: &str) -> Visitor {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(TIMEOUT))
            .user_agent("flowtest-bench")
            .build();
        Visitor { agent: config.into(), origin: origin.trim_end_matches('/').to_owned(), cookies: Mutex::default() }
    }

    /// Opens a path, and follows to where it leads.
    pub fn open(&self, path: &str) -> Result<Page> {
        self.ask(path, None)
    }

    /// An answer that must be 200 and JSON.
    pub fn json(&self, path: &str) -> Result<Value> {
        let page = self.open(path)?.fine()?;
        serde_json::from_str(&page.text)
            .map_err(|error| Error::Other(format!("{path} is no JSON ({error}): {}", page.text)))
    }

    /// Sends a form, and follows to where it leads.
    pub fn send(&self, form: &Form) -> Result<Page> {
        self.ask(&form.action, Some(form))
    }

    fn ask(&self, path: &str, form: Option<&Form>) -> Result<Page> {
        let (mut path, mut form) = (path.to_owned(), form);
        for _ in 0..REDIRECTS_MAX {
            let mut answer = self.exchange(&path, form)?;
            self.keep_cookies(&answer);
            let status = answer.status().as_u16();
            let location = answer.headers().get("location").and_then(|location| location.to_str().ok());
            match location {
                // A form that was taken answers 303: what follows is a plain page.
                Some(location) if (300..400).contains(&status) => {
                    path = location.strip_prefix(&self.origin).unwrap_or(location).to_owned();
                    form = None;
                }
                _ => {
                    let body = answer.body_mut().with_config().limit(BODY_BYTES_MAX).lossy_utf8(true);
                    let text = body.read_to_string().map_err(|error| no_answer(&path, &error))?;
                    return Ok(Page { status, path, text });
                }
            }
        }
        Err(Error::Other(format!("{path} leads from page to page without an end")))
    }

    fn exchange(&self, path: &str, form: Option<&Form>) -> Result<ureq::http::Response<ureq::Body>> {
        let url = format!("{}{path}", self.origin);
        let cookies: Vec<String> = self.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let answer = match form {
            None => self.agent.get(url).header("Cookie", cookies).call(),
            Some(form) => {
                let fields = form.fields.iter().map(|(name, value)| (name, value));
                self.agent.post(url).header("Cookie", cookies).header("Origin", &self.origin).send_form(fields)
            }
        };
        answer.map_err(|error| no_answer(path, &error))
    }

    fn keep_cookies(&self, answer: &ureq::http::Response<ureq::Body>) {
        let mut cookies = self.cookies();
        for line in answer.headers().get_all("set-cookie").iter().filter_map(|line| line.to_str().ok()) {
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let Some((name, value)) = pair.split_once('=') else { continue };
            let gone = attributes.split(';').any(|attribute| attribute.trim().eq_ignore_ascii_case("max-age=0"));
            match gone || value.is_empty() {
                true => drop(cookies.remove(name.trim())),
                false => drop(cookies.insert(name.trim().to_owned(), value.to_owned())),
            }
        }
    }

    fn cookies(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.cookies.lock()
    }
}

fn no_answer(path: &str, error: &ureq::Error) -> Error {
    Error::Other(format!("the dashboard's {path} got no answer: {error}"))
}

impl Page {
    /// The page itself, if it is one and complains of nothing; else a sentence with its complaints.
    pub fn fine(self) -> Result<Page> {
        let complaints = self.complaints();
        if self.status == 200 && complaints.is_empty() {
            return Ok(self);
        }
        let said = if complaints.is_empty() { plain(&self.text) } else { complaints.join(" ") };
        Err(Error::Other(format!("the dashboard's {} answered {}: {said}", self.path, self.status)))
    }

    /// What it says is wrong: its alerts, the errors beside its fields, the form that was declined.
    pub fn complaints(&self) -> Vec<String> {
        let is_complaint = |tag: &str| {
            let class = attribute(tag, "class").unwrap_or_default();
            class == "error" || class == "notice plain bad" || attribute(tag, "role").as_deref() == Some("alert")
        };
        let starts = self.text.match_indices('<').map(|(at, _)| &self.text[at + 1..]);
        let complaints = starts.filter_map(|rest| rest.split_once('>')).filter(|(tag, _)| is_complaint(tag));
        let messages = complaints.map(|(_, body)| plain(&body[..body.find("</p>").unwrap_or(body.len())]));
        messages.filter(|messages| !messages.is_empty()).collect()
    }

    /// The form that goes to a path of ours.
    pub fn form(&self, action: &str) -> Result<Form> {
        let mark = format!("action=\"{action}\"");
        let start = self.text.match_indices("<form").map(|(at, _)| at).find(|at| {
            let head = self.text[*at..].split('>').next().unwrap_or("");
            head.contains(&mark)
        });
        let missing = || {
            let said = self.complaints().join(" ");
            Error::Other(format!("{} ({}) has no form that goes to {action}: {said}", self.path, self.status))
        };
        let body = &self.text[start.ok_or_else(missing)?..];
        let body = body.split("</form>").next().unwrap_or(body);
        Ok(Form { action: action.to_owned(), fields: fields(body) })
    }
}

impl Form {
    /// Fills a field, whether it was there or not.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Form {
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves a field out, as an empty checkbox does.
    #[must_use]
    pub fn without(mut self, name: &str) -> Form {
        self.fields.retain(|(field, _)| field != name);
        self
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// The fields that a browser would send of a form that nobody touched.
fn fields(body: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = body;
    let mut select: Option<String> = None;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let (tag, after) = rest.split_once('>').unwrap_or((rest, ""));
        let has = |word: &str| tag.split_ascii_whitespace().any(|part| part == word);
        match (tag.split([' ', '\n', '/']).find(|word| !word.is_empty()).unwrap_or(""), attribute(tag, "name")) {
            ("input", Some(name)) if !has("disabled") => {
                let kind = attribute(tag, "type").unwrap_or_default();
                let ticks = kind == "checkbox" || kind == "radio";
                if !ticks || has("checked") {
                    let value = attribute(tag, "value");
                    found.push((name, value.unwrap_or_else(|| if ticks { "on".to_owned() } else { String::new() })));
                }
            }
            ("textarea", Some(name)) => {
                let text = after.split("</textarea>").next().unwrap_or("");
                // The first line break after the tag is no text.
                found.push((name, unescaped(text.strip_prefix('\n').unwrap_or(text))));
            }
            ("select", name) if !tag.starts_with('/') => select = name,
            ("option", _) if !tag.starts_with('/') => {
                if let (Some(name), Some(value)) = (&select, attribute(tag, "value")) {
                    let known = found.iter().position(|(field, _)| field == name);
                    match known {
                        None => found.push((name.clone(), value)),
                        Some(index) if has("selected") => found[index].1 = value,
                        Some(_) => {}
                    }
                }
            }
            _ => {}
        }
        rest = after;
    }
    found
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let mark = format!(" {name}=\"");
    let start = tag.find(&mark)? + mark.len();
    let end = tag[start..].find('"')?;
    Some(unescaped(&tag[start..start + end]))
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#039;", "'").replace("&amp;", "&")
}

/// The words of a piece of page.
fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for character in html.chars() {
        match character {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            _ if !inside => text.push(character),
            _ => {}
        }
    }
    let words: Vec<&str> = text.split_whitespace().take(60).collect();
    unescaped(&words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page { status: 200, path: "/setting".into(), text: text.into() }
    }

    #[test]
    fn a_form_is_sent_as_a_browser_would_that_touched_nothing() {
        let page = page(
            "<form method=\"post\" action=\"/other\"><input name=\"x\" value=\"1\"></form>\n\
             <form class=\"card\" method=\"post\" action=\"/setting/contest\">\
             <input type=\"hidden\" name=\"csrf_token\" value=\"a&amp;b=\">\
             <input id=\"t\" name=\"title\" type=\"text\" value=\"A &quot;final&quot;\">\
             <input type=\"checkbox\" name=\"allow_shared\" value=\"yes\">\
             <input type=\"checkbox\" name=\"token_required\" value=\"yes\" checked>\
             <textarea id=\"plan\" name=\"plan\">\n[[phase]]\nrate = 1 &lt; 2</textarea>\
             <select id=\"zone\" name=\"zone\"><option value=\"UTC\">UTC</option>\
             <option value=\"here\" selected>here</option></select>\
             <button type=\"submit\">Save</button></form>",
        );
        let form = page.form("/setting/contest").expect("it is there");
        let wanted = [
            ("csrf_token", "a&b="),
            ("title", "A \"final\""),
            ("token_required", "yes"),
            ("plan", "[[phase]]\nrate = 1 < 2"),
            ("zone", "here"),
        ];
        let fields: Vec<(&str, &str)> = form.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(fields, wanted);
        assert_eq!(form.with("title", "B").value("title"), Some("B"));
        assert!(page.form("/nowhere").is_err());
    }

    #[test]
    fn what_a_page_complains_of_is_an_error_in_its_words() {
        let page = page(
            "<p class=\"error\" id=\"e\"><span>Not an address &amp; port.</span></p><p class=\"hint\">x</p>\
             <div class=\"notice plain bad\" role=\"status\"><p>Too late.</p></div><p>y</p>",
        );
        assert_eq!(page.complaints(), ["Not an address & port.", "Too late."]);
        assert!(page.fine().expect_err("it complains").to_string().contains("Not an address & port."));
    }
}
