// Parts of all pages: dialogs, notes, figures.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, token } from "./api";
import { NONE } from "./format";
import { startEvents } from "./live";

// Questions ---------------------------------------------------------------------------------------------------------------

export interface Field {
  name: string;
  label: string;
  value?: string;
  options?: string[];
  type?: string;
  hint?: string;
  required?: boolean;
}

export interface Question {
  title: string;
  text?: string;
  action: string;
  danger?: boolean;
  fields?: Field[];
  run: (values: Record<string, string>) => Promise<string | void>;
}

let show: (question: Question | undefined) => void = () => undefined;
let note: (text: string) => void = () => undefined;

/** Ask in a dialog; nothing is done before somebody has said yes. */
export const askFirst = (question: Question): void => show(question);

export const tell = (text: string): void => note(text);

/** Ask for the token of this tab. */
export function askToken(then: () => void = () => undefined): void {
  askFirst({
    title: "Token",
    text: "A token of the API, as `lalmesh token` makes it. It is kept in this tab until that is closed.",
    action: "Use it",
    fields: [{ name: "token", label: "Token", type: "password", hint: "Empty: go on without." }],
    run: async (values) => {
      token.set(values.token?.trim() ?? "");
      startEvents();
      then();
    },
  });
}

export function Dialogs(): JSX.Element {
  const [question, setQuestion] = useState<Question>();
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const dialog = useRef<HTMLDialogElement>(null);
  const before = useRef<Element | null>(null);
  show = (asked) => {
    before.current = document.activeElement;
    setError("");
    setQuestion(asked);
  };
  useEffect(() => {
    if (question && !dialog.current?.open) dialog.current?.showModal();
  }, [question]);
  const close = (): void => {
    dialog.current?.close();
    setQuestion(undefined);
    if (before.current instanceof HTMLElement && before.current.isConnected) before.current.focus();
  };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!question || busy) return;
    const values = Object.fromEntries([...new FormData(event.target as HTMLFormElement)].map(([name, value]) => [name, String(value)]));
    setBusy(true);
    try {
      const said = await question.run(values);
      close();
      if (said) tell(said);
    } catch (problem) {
      const needsToken = problem instanceof Problem && [401, 403].includes(problem.status);
      setError(`${problem instanceof Error ? problem.message : problem}${needsToken ? ". Give a token at the top of the page." : ""}`);
    } finally {
      setBusy(false);
    }
  };
  return (
    <dialog ref={dialog} onClose={() => question && close()} aria-labelledby="dialog-title">
      {question && (
        <form onSubmit={(event) => void submit(event)}>
          <h2 id="dialog-title">{question.title}</h2>
          {question.text && <p>{question.text}</p>}
          {question.fields?.map((field) => (
            <label key={field.name}>
              {field.label}
              {field.options ? (
                <select name={field.name}>
                  {field.options.map((option) => (
                    <option key={option}>{option}</option>
                  ))}
                </select>
              ) : (
                <input name={field.name} type={field.type ?? "text"} defaultValue={field.value ?? ""} required={field.required} autocomplete="off" />
              )}
              {field.hint && <small>{field.hint}</small>}
            </label>
          ))}
          {error && (
            <p class="problem" role="alert">
              {error}
            </p>
          )}
          <footer>
            <button type="button" onClick={close}>
              Cancel
            </button>
            <button type="submit" class={question.danger ? "danger" : "primary"} disabled={busy}>
              {question.action}
            </button>
          </footer>
        </form>
      )}
    </dialog>
  );
}

const NOTE_MS = 6000;

export function Notes(): JSX.Element {
  const [text, setText] = useState("");
  note = setText;
  useEffect(() => {
    if (!text) return;
    const timer = setTimeout(() => setText(""), NOTE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <div class="notes" role="status" aria-live="polite">
      {text && <p>{text}</p>}
    </div>
  );
}

// Figures -----------------------------------------------------------------------------------------------------------------

export function State({ of }: { of: string }): JSX.Element {
  return <span class={`state ${of}`}>{of}</span>;
}

export function Facts({ rows }: { rows: [string, ComponentChildren][] }): JSX.Element {
  return (
    <dl>
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value === null || value === undefined || value === "" ? NONE : value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** How much of what there is is used. */
export function Gauge({ label, used, of, text }: { label: string; used: number; of: number; text: string }): JSX.Element {
  return (
    <div class="gauge">
      <span>{label}</span>
      {of > 0 && <meter min={0} max={of} value={Math.min(used, of)} high={0.9 * of} optimum={0} aria-label={label} />}
      <span class="figure">{text}</span>
    </div>
  );
}

/** What to show where there is nothing to show yet, or no more. */
export function Problems({ problem, reload }: { problem: Problem | undefined; reload: () => void }): JSX.Element | null {
  if (!problem) return null;
  return (
    <p class="problem" role="alert">
      {problem.message}{" "}
      {[401, 403, 429].includes(problem.status) && (
        <button type="button" onClick={() => askToken(reload)}>
          Give a token
        </button>
      )}
    </p>
  );
}
