// The API's types, from its own document: openapi/v1.json becomes src/api/schema.ts.
// Understands what our document uses and fails on anything else. Never knows: what the types mean.
import { readFileSync, writeFileSync } from "node:fs";

const document = JSON.parse(readFileSync(new URL("../../openapi/v1.json", import.meta.url), "utf8"));

function quoted(name) {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? name : JSON.stringify(name);
}

function fields(schema) {
  const required = new Set(schema.required ?? []);
  const one = ([name, value]) => `${quoted(name)}${required.has(name) ? "" : "?"}: ${type(value)}`;
  return `{ ${Object.entries(schema.properties).map(one).join("; ")} }`;
}

function plain(name, schema) {
  switch (name) {
    case "string":
      return schema.enum ? schema.enum.map((word) => JSON.stringify(word)).join(" | ") : "string";
    case "integer":
    case "number":
      return "number";
    case "boolean":
      return "boolean";
    case "null":
      return "null";
    case "array":
      return `(${type(schema.items)})[]`;
    case "object":
      if (schema.properties) return fields(schema);
      if (schema.additionalProperties) return `Record<string, ${type(schema.additionalProperties)}>`;
      return "Record<string, unknown>";
    default:
      throw new Error(`types: nothing is known of ${JSON.stringify(schema)}`);
  }
}

function type(schema) {
  if (schema === true) return "unknown";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  const several = schema.oneOf ?? schema.anyOf;
  if (several) return several.map(type).join(" | ");
  if (schema.allOf) return schema.allOf.map((part) => `(${type(part)})`).join(" & ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === undefined) return "unknown";
  return [schema.type].flat().map((name) => plain(name, schema)).join(" | ");
}

function body(content) {
  return content?.["application/json"]?.schema ? type(content["application/json"].schema) : "null";
}

function operation(about) {
  const answers = Object.entries(about.responses).filter(([status]) => status.startsWith("2"));
  const query = (about.parameters ?? []).filter((parameter) => parameter.in === "query");
  const one = (parameter) => `${quoted(parameter.name)}${parameter.required ? "" : "?"}: ${type(parameter.schema)}`;
  const asked = query.length > 0 ? `{ ${query.map(one).join("; ")} }` : "null";
  return `{ query: ${asked}; body: ${body(about.requestBody?.content)}; answer: ${body(answers[0]?.[1].content)} }`;
}

const schemas = Object.entries(document.components.schemas).map(([name, schema]) => `export type ${name} = ${type(schema)};`);
const paths = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, about]) => `  ${JSON.stringify(`${method.toUpperCase()} ${path}`)}: ${operation(about)};`),
);
const head = "// Written by scripts/types.mjs from openapi/v1.json: not to be edited.\n";
const text = `${head}\n${schemas.join("\n")}\n\nexport interface Operations {\n${paths.join("\n")}\n}\n`;
writeFileSync(new URL("../src/api/schema.ts", import.meta.url), text);
