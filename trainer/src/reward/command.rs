//! A reward by another program. It is started once and fed one JSON object a line:
//! `{"id", "problem", "answer", "choices", "meta", "completion", "tokens", "finished", "right"}`; for each
//! line it writes one line, a number or `null` (this answer cannot be scored).
//!
//! An answer that it takes too long over is not scored: the program is ended and started again for the
//! next one. A program that ends by itself or says something else stops the run, since no further answer
//! could be scored.

use super::{Answer, Reward};
use crate::{Error, Result};
use foveate_objectives::Entry;
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(super) const ENTRY: Entry<dyn Reward> = Entry {
    name: "command",
    paper: "a program of the user's own",
    build: |v| {
        let settings = serde_json::from_value::<Settings>(v)?;
        let refuse = |message: &str| Err(serde_json::Error::custom(message));
        if settings.command.is_empty() {
            return refuse("`command` should name a program, but is empty");
        }
        if !(settings.deadline_s > 0.0 && settings.deadline_s.is_finite()) {
            return refuse(&format!("`deadline_s` should be over 0, but is {}", settings.deadline_s));
        }
        Ok(Box::new(External { settings, running: Mutex::new(None) }))
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The program and its arguments; no shell.
    command: Vec<String>,
    /// Seconds that one answer may take.
    #[serde(default = "ten")]
    deadline_s: f64,
}

fn ten() -> f64 {
    10.0
}

#[derive(Debug)]
struct External {
    settings: Settings,
    running: Mutex<Option<Running>>,
}

/// The program with its pipes; a thread reads its lines, so that waiting can end.
#[derive(Debug)]
struct Running {
    child: Child,
    input: ChildStdin,
    lines: Receiver<std::io::Result<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; either way it must not be left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Reward for External {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn score(&self, answer: &Answer<'_>) -> Result<Option<f64>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut program = match running.take() {
            Some(program) => program,
            None => self.start()?,
        };
        let line = format!("{}\n", question(answer));
        // A program that has ended takes no line; what it said before that is still read below.
        let fed = program.input.write_all(line.as_bytes()).and_then(|()| program.input.flush());
        let deadline = Duration::from_secs_f64(self.settings.deadline_s);
        let said = match program.lines.recv_timeout(deadline) {
            Ok(line) => line.map_err(|e| self.fault(e.to_string()))?,
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                let status = program.child.wait().map_or_else(|e| e.to_string(), |s| s.to_string());
                let fed = fed.map_or_else(|e| format!(", {e}"), |()| String::new());
                let line = line.trim_end();
                return Err(self.fault(format!("ended ({status}{fed}) before it answered {line}")));
            }
        };
        *running = Some(program);
        match serde_json::from_str::<Value>(&said) {
            Ok(Value::Null) => Ok(None),
            Ok(Value::Number(value)) => Ok(value.as_f64()),
            _ => Err(self.fault(format!("should write a number or null a line, but wrote {said:?}"))),
        }
    }
}

impl External {
    fn start(&self) -> Result<Running> {
        let mut command = Command::new(&self.settings.command[0]);
        command.args(&self.settings.command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| self.fault(format!("could not be started: {e}")))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(self.fault("has no pipes".into()));
        };
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Running { child, input, lines })
    }

    fn fault(&self, message: String) -> Error {
        Error::Reward { name: self.settings.command.join(" "), message }
    }
}

fn question(answer: &Answer<'_>) -> Value {
    let sample = answer.sample;
    json!({
        "id": sample.id, "problem": sample.problem, "answer": sample.answer, "choices": sample.choices,
        "meta": sample.meta, "completion": answer.text, "tokens": answer.tokens,
        "finished": answer.finished, "right": answer.grade.outcome == foveate_datasets::Outcome::Right,
    })
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::super::REWARDS;
    use super::*;
    use crate::reward::tests::sample;
    use foveate_datasets::Grade;
    use foveate_objectives::Named;

    fn reward(script: &str, deadline_s: f64) -> Box<dyn Reward> {
        let command = vec!["sh", "-c", script];
        let named = Named::new("command").with("command", command).with("deadline_s", deadline_s);
        named.build("reward", REWARDS).unwrap()
    }

    fn ask(reward: &dyn Reward, text: &str) -> Result<Option<f64>> {
        let sample = sample();
        let grade = Grade::of(false, text);
        let (tokens, finished) = (2, true);
        reward.score(&Answer { sample: &sample, text, tokens, finished, grade: &grade, region: None })
    }

    #[test]
    fn a_program_is_fed_lines_and_gives_numbers() {
        // Worth as much as its line has of the letter z; null for an answer that says nothing.
        let script = r#"while read -r line; do case $line in *nothing*) echo null;;
            *) printf '%s' "$line" | tr -cd z | wc -c;; esac; done"#;
        let reward = reward(script, 20.0);
        assert_eq!(ask(reward.as_ref(), "zzz").unwrap(), Some(3.0));
        assert_eq!(ask(reward.as_ref(), "nothing").unwrap(), None);
        assert_eq!(ask(reward.as_ref(), "z\nz").unwrap(), Some(2.0));
    }

    #[test]
    fn a_late_answer_is_not_scored_and_the_next_one_is() {
        let script = "while read -r line; do case $line in *slow*) sleep 60;; esac; echo 1; done";
        let reward = reward(script, 0.5);
        assert_eq!(ask(reward.as_ref(), "slow").unwrap(), None);
        assert_eq!(ask(reward.as_ref(), "fast").unwrap(), Some(1.0));
    }

    #[test]
    fn a_program_that_fails_stops_the_run_with_its_name() {
        for (script, word) in [("exit 3", "3"), ("read -r line; echo good", "good")] {
            let message = ask(reward(script, 20.0).as_ref(), "x").unwrap_err().to_string();
            assert!(message.contains(word) && message.contains("sh -c"), "{message}");
        }
        let none = Named::new("command").with("command", vec!["/nowhere/at/all"]);
        let none = none.build("reward", REWARDS).unwrap();
        assert!(ask(none.as_ref(), "x").unwrap_err().to_string().contains("/nowhere/at/all"));
        let bad = Named::new("command").with("command", vec!["x"]).with("deadline_s", 0);
        assert!(bad.build("reward", REWARDS).unwrap_err().to_string().contains("deadline_s"));
    }
}
