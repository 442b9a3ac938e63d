//! One field of a form: what was typed, and what is wrong with it.

use sailfish::TemplateSimple;

/// What was typed is kept; an error stands under the field, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    pub value: String,
    pub error: Option<String>,
}

impl Field {
    pub fn new(value: impl Into<String>) -> Field {
        Field { value: value.into(), error: None }
    }

    pub fn wrong(value: impl Into<String>, error: impl Into<String>) -> Field {
        Field { value: value.into(), error: Some(error.into()) }
    }
}

/// A labelled input with its hint and its error, tied together for those who listen to pages.
/// Passwords are never written back into the page.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "_input.stpl")]
pub struct Input {
    name: &'static str,
    id: String,
    label: &'static str,
    kind: &'static str,
    value: String,
    error: Option<String>,
    hint: &'static str,
    autocomplete: &'static str,
    placeholder: &'static str,
    mode: &'static str,
    rows: u32,
    max: u32,
    required: bool,
    focus: bool,
    disabled: bool,
    class: &'static str,
    when: bool,
}

impl Input {
    pub fn text(name: &'static str, label: &'static str, field: &Field) -> Input {
        Input {
            name,
            id: format!("f-{name}"),
            label,
            kind: "text",
            value: field.value.clone(),
            error: field.error.clone(),
            hint: "",
            autocomplete: "off",
            placeholder: "",
            mode: "",
            rows: 0,
            max: 0,
            required: false,
            focus: false,
            disabled: false,
            class: "",
            when: false,
        }
    }

    pub fn password(name: &'static str, label: &'static str, field: &Field) -> Input {
        Input { kind: "password", value: String::new(), ..Input::text(name, label, field) }
    }

    /// A text of several lines, of which so many are seen.
    pub fn area(name: &'static str, label: &'static str, field: &Field, rows: u32) -> Input {
        Input { rows, ..Input::text(name, label, field) }
    }

    /// A whole number.
    pub fn number(name: &'static str, label: &'static str, field: &Field) -> Input {
        Input { mode: "numeric", class: "short", ..Input::text(name, label, field) }
    }

    /// An instant: RFC 3339 or counted from the start. The script adds a picker in local time and says it in UTC.
    pub fn instant(name: &'static str, label: &'static str, field: &Field) -> Input {
        Input { when: true, class: "code", ..Input::text(name, label, field) }
    }

    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Input {
        self.id = id.into();
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: &'static str) -> Input {
        self.hint = hint;
        self
    }

    #[must_use]
    pub fn autocomplete(mut self, what: &'static str) -> Input {
        self.autocomplete = what;
        self
    }

    #[must_use]
    pub fn placeholder(mut self, text: &'static str) -> Input {
        self.placeholder = text;
        self
    }

    #[must_use]
    pub fn mode(mut self, mode: &'static str) -> Input {
        self.mode = mode;
        self
    }

    #[must_use]
    pub fn max(mut self, characters: u32) -> Input {
        self.max = characters;
        self
    }

    #[must_use]
    pub fn class(mut self, class: &'static str) -> Input {
        self.class = class;
        self
    }

    #[must_use]
    pub fn required(mut self) -> Input {
        self.required = true;
        self
    }

    #[must_use]
    pub fn focus(mut self, focus: bool) -> Input {
        self.focus = focus;
        self
    }

    #[must_use]
    pub fn disabled(mut self, disabled: bool) -> Input {
        self.disabled = disabled;
        self
    }
}
