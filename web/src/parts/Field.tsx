// A labelled field, with a line of help that screen readers say with it.
// Never knows: what is typed.

import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, type TextareaHTMLAttributes, useId } from "react";

interface Labelled {
  label: string;
  about?: ReactNode;
  narrow?: boolean;
}

function Frame(props: Labelled & { id: string; children: ReactNode }): ReactNode {
  return (
    <div className={props.narrow === true ? "field narrow" : "field"}>
      <label htmlFor={props.id}>{props.label}</label>
      {props.children}
      {props.about !== undefined && (
        <span className="about" id={`${props.id}-about`}>
          {props.about}
        </span>
      )}
    </div>
  );
}

export function Field(props: Labelled & InputHTMLAttributes<HTMLInputElement>): ReactNode {
  const { label, about, narrow, ...rest } = props;
  const id = useId();
  return (
    <Frame id={id} label={label} about={about} narrow={narrow === true}>
      <input {...rest} id={id} aria-describedby={about === undefined ? undefined : `${id}-about`} />
    </Frame>
  );
}

export function Choice(props: Labelled & SelectHTMLAttributes<HTMLSelectElement>): ReactNode {
  const { label, about, narrow, children, ...rest } = props;
  const id = useId();
  return (
    <Frame id={id} label={label} about={about} narrow={narrow === true}>
      <select {...rest} id={id} aria-describedby={about === undefined ? undefined : `${id}-about`}>
        {children}
      </select>
    </Frame>
  );
}

export function Area(props: Labelled & TextareaHTMLAttributes<HTMLTextAreaElement>): ReactNode {
  const { label, about, narrow, ...rest } = props;
  const id = useId();
  return (
    <Frame id={id} label={label} about={about} narrow={narrow === true}>
      <textarea {...rest} id={id} spellCheck={false} aria-describedby={about === undefined ? undefined : `${id}-about`} />
    </Frame>
  );
}

export function Check(props: { label: ReactNode } & InputHTMLAttributes<HTMLInputElement>): ReactNode {
  const { label, ...rest } = props;
  return (
    <label className="check">
      <input {...rest} type="checkbox" />
      <span>{label}</span>
    </label>
  );
}
