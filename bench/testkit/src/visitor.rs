//! What somebody who visits a site keeps of it and reads on its pages, however the requests go there.

use std::collections::BTreeMap;

/// Of one site, by name.
pub type Cookies = BTreeMap<String, String>;

/// Takes over what one `Set-Cookie` header says.
pub fn keep_cookie(cookies: &mut Cookies, said: &str) {
    let Some((name, value)) = said.split(';').next().and_then(|pair| pair.trim().split_once('=')) else { return };
    if value.is_empty() || said.contains("Max-Age=0") {
        cookies.remove(name);
    } else {
        cookies.insert(name.to_owned(), value.to_owned());
    }
}

/// What a `Cookie` header says of them; empty without any.
pub fn cookie_header(cookies: &Cookies) -> String {
    cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

/// The value of the first hidden field of this name on a page.
pub fn hidden_field(page: &str, name: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\""))?;
    rest.split('"').next().map(str::to_owned)
}
