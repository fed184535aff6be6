/* Help and man page, both from the option tables. */
#include <string.h>

#include "base/exit.h"
#include "cli/cli.h"
#include "formats/json.h"
#include "cli/table.h"

#define INDENT 26

static const char tagline[] = "fine-tuning as a contract: deterministic, sealed, measured";

/* Appends words with line breaks; the cursor stands at column `at`, further lines begin at `indent`. */
static void wrap(ac_str *out, ac_view text, size_t at, size_t indent, size_t width)
{
    bool first = true;
    while (text.len) {
        size_t n = 0;
        while (n < text.len && text.ptr[n] != ' ' && text.ptr[n] != '\n') n++;
        const ac_view word = ac_view_slice(text, 0, n);
        const size_t w = ac_text_width(word);
        if (!first && at + 1 + w > width) {
            ac_str_append_char(out, '\n');
            for (size_t i = 0; i < indent; i++) ac_str_append_char(out, ' ');
            at = indent;
        } else if (!first) {
            ac_str_append_char(out, ' ');
            at++;
        }
        ac_str_append(out, word);
        at += w;
        first = false;
        while (n < text.len && (text.ptr[n] == ' ' || text.ptr[n] == '\n')) n++;
        text = ac_view_slice(text, n, text.len);
    }
}

/* Paragraphs are divided by empty lines. */
static void paragraphs(ac_str *out, const char *text, size_t width)
{
    ac_view rest = ac_view_of(text);
    while (rest.len) {
        size_t end = ac_view_find(rest, AC_VIEW("\n\n"), 0);
        if (end == SIZE_MAX) end = rest.len;
        wrap(out, ac_view_slice(rest, 0, end), 0, 0, width);
        ac_str_append_c(out, "\n\n");
        rest = ac_view_slice(rest, end + 2, rest.len);
    }
}

static void entry(ac_str *out, ac_view left, ac_view right, size_t indent, size_t width)
{
    ac_str_append_c(out, "  ");
    ac_str_append(out, left);
    size_t at = 2 + ac_text_width(left);
    if (at + 2 > indent) {
        ac_str_append_char(out, '\n');
        at = 0;
    }
    for (; at < indent; at++) ac_str_append_char(out, ' ');
    wrap(out, right, indent, indent, width);
    ac_str_append_char(out, '\n');
}

static void option_entry(ac_str *out, const ac_opt *o, size_t width)
{
    ac_str left = { 0 }, right = { 0 };
    ac_opt_spelling(&left, o);
    ac_str_append_c(&right, o->help);
    ac_str_append_char(&right, ' ');
    ac_opt_default(&right, o);
    if (!ac_str_ok(&left) || !ac_str_ok(&right)) out->failed = true;
    entry(out, ac_str_view(&left), ac_view_trim(ac_str_view(&right)), INDENT, width);
    ac_str_release(&left);
    ac_str_release(&right);
}

static void options(ac_str *out, const ac_opt *o, size_t width)
{
    if (o->type == AC_OPT_TYPE_ARG || o->type == AC_OPT_TYPE_ARGS) ac_str_append_c(out, "\nArguments\n");
    for (; o->type != AC_OPT_TYPE_END; o++) {
        if (o->type == AC_OPT_TYPE_GROUP) ac_str_appendf(out, "\n%s\n", o->name);
        else option_entry(out, o, width);
    }
}

static size_t sane(size_t width)
{
    return width < 60 ? 60 : width > 100 ? 100 : width;
}

void ac_help_command(ac_str *out, const ac_cmd *cmd, size_t width)
{
    const ac_opt *const tables[] = { cmd->options, NULL };
    width = sane(width);
    ac_str_appendf(out, "usage: accord %s", cmd->name);
    ac_opt_usage(out, tables);
    ac_str_appendf(out, "\n\n%s\n\n", cmd->summary);
    const size_t before = out->len;
    paragraphs(out, cmd->text, width);
    if (out->len > before) out->ptr[--out->len] = '\0';          /* groups bring their own empty line */
    options(out, cmd->options, width);
    options(out, ac_cli_common(), width);
    if (cmd->examples) {
        ac_str_append_c(out, "\nExamples\n");
        for (size_t i = 0; cmd->examples[i]; i++) ac_str_appendf(out, "  %s\n", cmd->examples[i]);
    }
}

void ac_help_list(ac_str *out, size_t width)
{
    width = sane(width);
    ac_str_appendf(out, "accord %s - %s\n\nusage: accord <command> [options]\n", ACCORD_VERSION, tagline);
    const char *group = "";
    for (size_t i = 0; ac_cmds[i]; i++) {
        if (strcmp(group, ac_cmds[i]->group) != 0) {
            group = ac_cmds[i]->group;
            ac_str_appendf(out, "\n%s\n", group);
        }
        entry(out, ac_view_of(ac_cmds[i]->name), ac_view_of(ac_cmds[i]->summary), 18, width);
    }
    options(out, ac_cli_common(), width);
    ac_str_append_c(out, "\nOther\n");
    entry(out, AC_VIEW("-h, --help"), AC_VIEW("this list; after a command, its options"), INDENT, width);
    entry(out, AC_VIEW("-V, --version"), AC_VIEW("version"), INDENT, width);
}

/* ---- JSON: what a program that starts this one may want to know ---- */

static void option_json(ac_jw *w, const ac_opt *o)
{
    static const char *const types[] = { "", "", "path", "text", "integer", "integer", "number", "flag", "choice", "list", "argument",
                                         "arguments" };
    ac_str s = { 0 };
    char letter[2] = { o->letter, '\0' };
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "name", o->name);
    ac_jw_cstr(w, "type", types[o->type]);
    ac_jw_cstr(w, "letter", o->letter ? letter : NULL);
    ac_jw_cstr(w, "value", o->value);
    ac_jw_bool(w, "required", o->required || (o->type == AC_OPT_TYPE_ARG && o->min > 0));
    ac_jw_cstr(w, "help", o->help);
    if (ac_opt_is_option(o)) {
        ac_opt_default(&s, o);
        ac_jw_str(w, "default", ac_str_view(&s));
    }
    if (o->choices) {
        ac_jw_array(w, "choices");
        for (size_t i = 0; o->choices[i]; i++) ac_jw_cstr(w, NULL, o->choices[i]);
        ac_jw_end_array(w);
    }
    ac_jw_end_object(w);
    if (!ac_str_ok(&s)) w->out->failed = true;
    ac_str_release(&s);
}

static void command_json(ac_jw *w, const ac_cmd *cmd)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "name", cmd->name);
    ac_jw_cstr(w, "group", cmd->group);
    ac_jw_cstr(w, "summary", cmd->summary);
    ac_jw_cstr(w, "text", cmd->text);
    ac_jw_array(w, "options");
    for (const ac_opt *o = cmd->options; o->type != AC_OPT_TYPE_END; o++)
        if (o->type != AC_OPT_TYPE_GROUP) option_json(w, o);
    ac_jw_end_array(w);
    ac_jw_end_object(w);
}

void ac_help_json(ac_str *out, const ac_cmd *cmd)
{
    ac_jw w;
    ac_jw_init(&w, out, false);
    if (cmd) {
        command_json(&w, cmd);
        return;
    }
    ac_jw_array(&w, NULL);
    for (size_t i = 0; ac_cmds[i]; i++) command_json(&w, ac_cmds[i]);
    ac_jw_end_array(&w);
}

/* ---- man page ---- */

/* Backslashes and dashes are roff's own; a line must not begin with a dot or a quote. */
static void roff(ac_str *out, ac_view text)
{
    bool line_start = true;
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        if (line_start && (c == '.' || c == '\'')) ac_str_append_c(out, "\\&");
        if (c == '\\') ac_str_append_c(out, "\\e");
        else if (c == '-') ac_str_append_c(out, "\\-");
        else ac_str_append_char(out, c);
        line_start = c == '\n';
    }
}

static void man_paragraphs(ac_str *out, const char *text)
{
    ac_view rest = ac_view_of(text);
    while (rest.len) {
        size_t end = ac_view_find(rest, AC_VIEW("\n\n"), 0);
        if (end == SIZE_MAX) end = rest.len;
        ac_str_append_c(out, ".PP\n");
        roff(out, ac_view_slice(rest, 0, end));
        ac_str_append_char(out, '\n');
        rest = ac_view_slice(rest, end + 2, rest.len);
    }
}

static void man_options(ac_str *out, const ac_opt *o)
{
    for (; o->type != AC_OPT_TYPE_END; o++) {
        ac_str s = { 0 };
        if (o->type == AC_OPT_TYPE_GROUP) {
            ac_str_append_c(out, ".PP\n.I ");
            roff(out, ac_view_of(o->name));
            ac_str_append_char(out, '\n');
            continue;
        }
        ac_str_append_c(out, ".TP\n.B ");
        ac_opt_spelling(&s, o);
        roff(out, ac_str_view(&s));
        ac_str_reset(&s);
        ac_str_appendf(&s, "%s ", o->help);
        ac_opt_default(&s, o);
        ac_str_append_char(out, '\n');
        roff(out, ac_view_trim(ac_str_view(&s)));
        ac_str_append_char(out, '\n');
        if (!ac_str_ok(&s)) out->failed = true;
        ac_str_release(&s);
    }
}

static void man_examples(ac_str *out, const ac_cmd *cmd)
{
    ac_str_append_c(out, ".PP\n.nf\n");
    for (size_t i = 0; cmd->examples[i]; i++) {
        ac_str_append_c(out, "    ");
        roff(out, ac_view_of(cmd->examples[i]));
        ac_str_append_char(out, '\n');
    }
    ac_str_append_c(out, ".fi\n");
}

static void man_command(ac_str *out, const ac_cmd *cmd)
{
    const ac_opt *const tables[] = { cmd->options, NULL };
    ac_str usage = { 0 };
    ac_opt_usage(&usage, tables);
    ac_str_append_c(out, ".SS accord ");
    roff(out, ac_view_of(cmd->name));
    roff(out, ac_str_view(&usage));
    ac_str_append_char(out, '\n');
    if (!ac_str_ok(&usage)) out->failed = true;
    ac_str_release(&usage);
    roff(out, ac_view_of(cmd->summary));
    ac_str_append_c(out, ".\n");
    man_paragraphs(out, cmd->text);
    man_options(out, cmd->options);
    if (!cmd->examples) return;
    ac_str_append_c(out, ".PP\nExamples:\n");
    man_examples(out, cmd);
}

static void man_item(ac_str *out, const char *name, const char *text)
{
    ac_str_append_c(out, ".TP\n.B ");
    roff(out, ac_view_of(name));
    ac_str_append_char(out, '\n');
    roff(out, ac_view_of(text));
    ac_str_append_char(out, '\n');
}

static void man_exit_status(ac_str *out)
{
    ac_str_append_c(out, ".SH EXIT STATUS\n");
    for (int code = 0; code < 256; code++) {
        char number[16];
        if (!ac_exit_meaning(code)) continue;
        (void)snprintf(number, sizeof number, "%d", code);
        man_item(out, number, ac_exit_meaning(code));
    }
}

void ac_help_man_command(ac_str *out, const ac_cmd *cmd)
{
    const ac_opt *const tables[] = { cmd->options, NULL };
    ac_str name = { 0 }, usage = { 0 };
    for (const char *p = cmd->name; *p; p++) ac_str_append_char(&name, *p == ' ' ? '-' : *p);
    ac_opt_usage(&usage, tables);
    ac_str_append_c(out, ".\\\" Made by `accord help --man COMMAND`; a test compares them.\n.TH ACCORD\\-");
    for (size_t i = 0; i < name.len; i++)
        ac_str_append_char(out, name.ptr[i] >= 'a' && name.ptr[i] <= 'z' ? (char)(name.ptr[i] - 'a' + 'A') : name.ptr[i]);
    ac_str_appendf(out, " 1 \"\" \"accord %s\" \"User Commands\"\n.SH NAME\naccord\\-", ACCORD_VERSION);
    roff(out, ac_str_view(&name));
    ac_str_append_c(out, " \\- ");
    roff(out, ac_view_of(cmd->summary));
    ac_str_append_c(out, "\n.SH SYNOPSIS\n.B accord ");
    roff(out, ac_view_of(cmd->name));
    ac_str_append_char(out, '\n');
    roff(out, ac_view_trim(ac_str_view(&usage)));
    ac_str_append_c(out, "\n.SH DESCRIPTION\n");
    man_paragraphs(out, cmd->text);
    ac_str_append_c(out, ".SH OPTIONS\n");
    man_options(out, cmd->options);
    ac_str_append_c(out, ".SH COMMON OPTIONS\n");
    man_options(out, ac_cli_common());
    if (cmd->examples) {
        ac_str_append_c(out, ".SH EXAMPLES\n");
        man_examples(out, cmd);
    }
    man_exit_status(out);
    ac_str_append_c(out, ".SH SEE ALSO\n.BR accord (1)\n");
    if (!ac_str_ok(&name) || !ac_str_ok(&usage)) out->failed = true;
    ac_str_release(&name);
    ac_str_release(&usage);
}

void ac_help_man(ac_str *out)
{
    ac_str_append_c(out, ".\\\" Made by `accord help --man`; a test compares them.\n");
    ac_str_appendf(out, ".TH ACCORD 1 \"\" \"accord %s\" \"User Commands\"\n", ACCORD_VERSION);
    ac_str_append_c(out, ".SH NAME\naccord \\- ");
    roff(out, ac_view_of(tagline));
    ac_str_append_c(out, "\n.SH SYNOPSIS\n.B accord\n.I command\n[options]\n.SH DESCRIPTION\n");
    roff(out, AC_VIEW("Results go to standard output, progress and messages to standard error. Options may "
                      "stand before or after arguments; \"--\" ends them."));
    ac_str_append_c(out, "\n.SH COMMON OPTIONS\nEvery command takes these.\n");
    man_options(out, ac_cli_common());
    ac_str_append_c(out, ".SH COMMANDS\n");
    for (size_t i = 0; ac_cmds[i]; i++) man_command(out, ac_cmds[i]);
    man_exit_status(out);
    ac_str_append_c(out, ".SH ENVIRONMENT\n");
    man_item(out, "ACCORD_CACHE", "folder for downloaded models; else XDG_CACHE_HOME/accord, else "
             "~/.cache/accord");
    man_item(out, "ACCORD_FAULT", "alloc:N or io:N lets the N-th allocation or file operation and all after "
             "it fail, for tests");
    man_item(out, "ACCORD_IDENTITY", "age identity file that opens sealed data; else identity.txt in the key folder");
    man_item(out, "ACCORD_KEY", "folder of your keys; else XDG_CONFIG_HOME/accord, else ~/.config/accord");
    man_item(out, "ACCORD_PASSPHRASE_FILE", "file (mode 0600) whose first line is the passphrase of sealed data");
    man_item(out, "ACCORD_PASSPHRASE_FD", "open descriptor to read the passphrase from; without both, the terminal asks");
    man_item(out, "NO_COLOR", "set to anything: no colour");
    ac_str_append_c(out, ".SH FILES\n");
    man_item(out, "accord.yaml", "the contract, written by people");
    man_item(out, "accord.lock", "what it sealed, written by accord freeze");
    man_item(out, ".accord/runs/", "one folder a run");
    man_item(out, ".accord/audit.jsonl", "the audit chain");
}
