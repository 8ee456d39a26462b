// Reads {"promql": [...], "traceql": [...]} from standard input and says what is in each query; the grammars are those of Prometheus'
// and Grafana's own editors. Run in the folder where they are installed.
const load = require("module").createRequire(process.cwd() + "/");
const promql = load("@prometheus-io/lezer-promql").parser;
const traceql = load("@grafana/lezer-traceql").parser;

const all = (node, name, found = []) => {
  for (let child = node.firstChild; child; child = child.nextSibling) {
    if (child.name === name) found.push(child);
    all(child, name, found);
  }
  return found;
};

const tree = (parser, text) => {
  const top = parser.parse(text).topNode;
  const wrong = all(top, "⚠");
  return { top, error: wrong.length ? `${text.slice(0, wrong[0].from)}>>>${text.slice(wrong[0].from)}` : "" };
};

const metrics = (text) => {
  const { top, error } = tree(promql, text);
  const read = (node) => text.slice(node.from, node.to);
  const selectors = all(top, "VectorSelector").map((selector) => ({
    text: read(selector),
    metric: selector.getChild("Identifier") ? read(selector.getChild("Identifier")) : "",
    labels: all(selector, "LabelName").map(read),
  }));
  const labels = all(top, "GroupingLabels").flatMap((group) => all(group, "LabelName").map(read));
  const made = all(top, "FunctionCall")
    .filter((call) => ["label_replace", "label_join"].includes(read(call.getChild("FunctionIdentifier"))))
    .map((call) => JSON.parse(read(call.getChild("FunctionCallBody").getChild("StringLiteral"))));
  return { error, selectors, labels, made };
};

// A condition as [operator, left, right]; fields as {"field": ...}, values as {"value": ...}.
const condition = (node, text) => {
  const read = (part) => text.slice(part.from, part.to);
  const parts = [];
  for (let child = node.firstChild; child; child = child.nextSibling) parts.push(child);
  if (parts.length === 3) {
    const [left, operator, right] = parts;
    return [read(operator), condition(left, text), condition(right, text)];
  }
  const [only] = parts;
  if (only.name === "FieldExpression") return condition(only, text);
  if (only.name === "Static") return { value: read(only) };
  return { field: read(only) };
};

const traces = (text) => {
  const { top, error } = tree(traceql, text);
  if (error) return { error };
  const filters = all(top, "SpansetFilter");
  const selected = all(top, "SelectArgs").flatMap((each) => all(each, "AttributeField"));
  return {
    error,
    condition: filters.length === 1 ? condition(filters[0].getChild("FieldExpression"), text) : null,
    selected: [...new Set(selected.map((each) => text.slice(each.from, each.to)))],
  };
};

const { promql: expressions, traceql: searches } = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify({ promql: expressions.map(metrics), traceql: searches.map(traces) }));
