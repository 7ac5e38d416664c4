import { useState } from 'preact/hooks';
import { Button } from './parts/button.tsx';
import { Field } from './parts/field.tsx';
import { PageTitle } from './parts/page-title.tsx';
import { signIn, signInAsked, token } from './service/session.ts';

/** Asks who the reader is, by a token. */
export function SignInPage() {
  const [typed, setTyped] = useState('');
  const text = typed.trim().replace(/^Bearer\s+/i, '');
  // What else no header can bring along.
  const isToken = /^[\x21-\x7e]*$/.test(text);
  const refusal = token() === undefined ? undefined : signInAsked.value;
  const why = isToken ? refusal : 'A token has neither blanks nor letters beyond ASCII.';
  return (
    <form
      class="sign-in"
      onSubmit={(event) => {
        event.preventDefault();
        if (text !== '' && isToken) {
          signIn(text);
        }
      }}
    >
      <PageTitle>Sign in</PageTitle>
      <p>
        This service asks who you are. Paste a token: of your identity provider, or of its operator.
      </p>
      <Field
        label="Token"
        wrong={why}
        hint="Kept in this tab alone, and forgotten when it is closed."
      >
        {(ids) => (
          <input
            {...ids}
            type="password"
            autocomplete="off"
            value={typed}
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
        )}
      </Field>
      <Button kind="main" type="submit">
        Sign in
      </Button>
    </form>
  );
}
