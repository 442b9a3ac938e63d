//! Where a run took place and how it was called. Whatever the system does not tell is a dash.

use flowtest_contract::text::grouped;

/// The machine that the generator ran on.
#[derive(Clone, Debug)]
pub struct Machine {
    pub cpu: String,
    pub cores: String,
    pub kernel: String,
    pub memory: String,
}

impl Machine {
    pub fn here() -> Machine {
        let uname = rustix::system::uname();
        let cpu = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| value(&text, "model name"));
        let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| value(&text, "MemTotal"));
        let mib = memory.and_then(|text| text.strip_suffix("kB")?.trim().parse::<u64>().ok()).map(|kib| kib >> 10);
        Machine {
            cpu: cpu.unwrap_or_else(|| uname.machine().to_string_lossy().into_owned()),
            cores: std::thread::available_parallelism().map_or_else(|_| "-".to_owned(), |cores| cores.to_string()),
            kernel: format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy()),
            memory: mib.map_or_else(|| "-".to_owned(), |mib| format!("{} MiB", grouped(mib))),
        }
    }
}

/// The value of the first line `key : value`.
fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The command line as one would type it, without passwords.
pub fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let mut words = Vec::new();
    for (index, argument) in arguments.enumerate() {
        // The program's own name without the folder that it happens to lie in.
        let word = if index == 0 {
            argument.rsplit('/').next().unwrap_or_default().to_owned()
        } else {
            without_secret(&argument)
        };
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:,=@[]%+…".contains(letter);
        let plain = !word.is_empty() && word.chars().all(is_plain);
        words.push(if plain { word } else { format!("'{}'", word.replace('\'', "'\\''")) });
    }
    words.join(" ")
}

/// What stands between `://` and `@` is a name and a password.
fn without_secret(argument: &str) -> String {
    let Some((scheme, rest)) = argument.split_once("://") else { return argument.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://…{}", &rest[at..]),
        // A password with a slash in it makes no authority; nothing of such an argument is shown.
        None if rest.contains('@') => format!("{scheme}://…"),
        None => argument.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(arguments: &[&str]) -> String {
        command_line(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn passwords_are_not_repeated() {
        assert_eq!(
            line(&["/opt/x/flowtest-loadgen", "stress", "127.0.0.1:80/a"]),
            "flowtest-loadgen stress 127.0.0.1:80/a"
        );
        assert_eq!(line(&["f", "--redis=redis://me:secret@host:1/2"]), "f --redis=redis://…@host:1/2");
        assert_eq!(line(&["f", "redis://:a@b@host"]), "f redis://…@host");
        assert_eq!(line(&["f", "redis://:a/b@host"]), "f redis://…");
        assert_eq!(line(&["f", "it's $(this)"]), "f 'it'\\''s $(this)'");
    }

    #[test]
    fn this_machine_tells_something() {
        let machine = Machine::here();
        assert!(machine.kernel.starts_with("Linux ") && machine.cpu != "-" && machine.memory.ends_with(" MiB"));
    }
}
