// Tokens, with a way to end them.
// Never knows: whether they are one's own.

import type { ReactNode } from "react";
import type { TokenText } from "../../api/schema";
import { Ask } from "../../parts/Ask";
import { Moment } from "../../parts/Moment";
import { said } from "./Grants";

export function TokenTable(props: { tokens: TokenText[]; whose?: boolean; end: (id: number) => Promise<void> }): ReactNode {
  if (props.tokens.length === 0) return <p className="empty">There are none.</p>;
  return (
    <div className="table cards" tabIndex={0} role="region" aria-label="Tokens">
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            {props.whose === true && <th scope="col">Whose</th>}
            <th scope="col">May</th>
            <th scope="col">Made</th>
            <th scope="col">Until</th>
            <th scope="col">
              <span className="out-of-sight">End</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {props.tokens.map((token) => (
            <tr key={token.id}>
              <td>{token.name}</td>
              {props.whose === true && <td data-label="Whose">{token.person}</td>}
              <td data-label="May">{said(token.grant)}</td>
              <td data-label="Made">
                <Moment at={token.created} />
              </td>
              <td data-label="Until">
                <Moment at={token.until} />
              </td>
              <td>
                <Ask small danger label="End" which={`token ${token.name}`} title={`End the token ${token.name}?`} act="End it" do={() => props.end(token.id)}>
                  <p>Programs that show it are refused from now on.</p>
                </Ask>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
