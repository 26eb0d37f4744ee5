//! Ratios, their limits, and one line for each.

/// What a ratio must keep.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

pub(crate) fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints the middle of the ratios with their spread, and whether it is within the limit.
pub(crate) fn tell(what: &str, mut ratios: Vec<f64>, limit: Option<Limit>) -> bool {
    ratios.sort_by(f64::total_cmp);
    let middle = middle(&ratios);
    let (kept, wanted) = match limit {
        None => (true, String::new()),
        Some(Limit::AtLeast(least)) => (middle >= least, format!("at least {least}, ")),
        Some(Limit::AtMost(most)) => (middle <= most, format!("at most {most}, ")),
    };
    let spread = match (ratios.first(), ratios.last()) {
        (Some(first), Some(last)) => format!("{first:.2} to {last:.2}"),
        _ => "never".to_owned(),
    };
    let verdict = match (limit, kept) {
        (None, _) => "",
        (_, true) => "  ok",
        (_, false) => "  MISSED",
    };
    say(&format!(
        "deploy  {what} {middle:.2} times ({wanted}{spread}){verdict}"
    ));
    kept
}

#[expect(clippy::print_stdout, reason = "it is what a bench is run for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
