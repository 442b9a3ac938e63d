//! Fields of a form that was posted, as they were typed.

use salvo::prelude::*;

/// A field without what surrounds it. Missing fields are empty.
pub async fn field(req: &mut Request, name: &str) -> String {
    req.form::<String>(name).await.unwrap_or_default().trim().to_owned()
}

/// What the board is to call somebody; a form that was filled in for 0.1 calls it `shown`, which goes with 0.3.
pub async fn display_name(req: &mut Request) -> String {
    match field(req, "display_name").await {
        name if name.is_empty() => field(req, "shown").await,
        name => name,
    }
}

/// A field that may come several times, with or without brackets behind its name.
pub async fn list(req: &mut Request, name: &str) -> Vec<String> {
    let plain = req.form::<Vec<String>>(name).await.unwrap_or_default();
    let bracketed = req.form::<Vec<String>>(&format!("{name}[]")).await.unwrap_or_default();
    plain.into_iter().chain(bracketed).map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

pub async fn is_ticked(req: &mut Request, name: &str) -> bool {
    matches!(field(req, name).await.as_str(), "yes" | "on" | "true" | "1")
}

/// The revision that the page showed.
pub async fn revision(req: &mut Request) -> Option<u64> {
    req.form::<u64>("revision").await
}
