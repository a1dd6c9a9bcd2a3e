/* What a tokenizer made here speaks: DeepSeek's special tokens and DeepSeek-V3.1's chat format.
 *
 * The template is a program in Jinja, for those who run it (minke recognises it by what it
 * contains, see chat/template.c).  In DeepSeek-V3.1's format an earlier answer loses its
 * thought, <Assistant></think> opens an answer that follows a user's message only, and results
 * of tools stand between the calls and the answer, which then has no opening.  Unlike there,
 * the model thinks unless told not to: what is trained here is to reason. */
#include "token/train.h"

#define BOS       "<｜begin▁of▁sentence｜>"
#define EOS       "<｜end▁of▁sentence｜>"
#define USER      "<｜User｜>"
#define ASSISTANT "<｜Assistant｜>"

const char *const mk_deepseek_specials[] = {
    BOS, EOS, "<｜▁pad▁｜>", USER, ASSISTANT, "<think>", "</think>", NULL,
};

const char mk_deepseek_jinja[] =
    "{%- set ns = namespace(systems=[], is_last_user=false, is_last_tool=false) -%}\n"
    "{%- for m in messages if m.role in ['system', 'developer'] -%}\n"
    "  {%- set ns.systems = ns.systems + [m.content or ''] -%}\n"
    "{%- endfor -%}\n"
    "{{- bos_token + ns.systems | join('\\n\\n') -}}\n"
    "{%- for m in messages -%}\n"
    "  {%- if m.role == 'user' -%}\n"
    "    {{- '" USER "' + m.content -}}\n"
    "  {%- elif m.role == 'tool' -%}\n"
    "    {{- '<｜tool▁output▁begin｜>' + (m.content or '') + '<｜tool▁output▁end｜>' -}}\n"
    "  {%- elif m.role == 'assistant' -%}\n"
    "    {%- if ns.is_last_user -%}{{- '" ASSISTANT "</think>' -}}{%- endif -%}\n"
    "    {%- if ns.is_last_tool or m.tool_calls or m.reasoning_content is string -%}\n"
    "      {{- m.content or '' -}}\n"
    "    {%- else -%}\n"
    "      {{- (m.content or '').split('</think>', 1)[-1] -}}\n"
    "    {%- endif -%}\n"
    "    {%- if m.tool_calls -%}\n"
    "      {{- '<｜tool▁calls▁begin｜>' -}}\n"
    "      {%- for c in m.tool_calls -%}\n"
    "        {%- set arguments = c.function.arguments -%}\n"
    "        {{- '<｜tool▁call▁begin｜>' + c.function.name + '<｜tool▁sep｜>' -}}\n"
    "        {{- arguments if arguments is string else arguments | tojson -}}\n"
    "        {{- '<｜tool▁call▁end｜>' -}}\n"
    "      {%- endfor -%}\n"
    "      {{- '<｜tool▁calls▁end｜>' -}}\n"
    "    {%- endif -%}\n"
    "    {{- '" EOS "' -}}\n"
    "  {%- endif -%}\n"
    "  {%- if m.role not in ['system', 'developer'] -%}\n"
    "    {%- set ns.is_last_user = m.role == 'user' -%}\n"
    "    {%- set ns.is_last_tool = m.role == 'tool' -%}\n"
    "  {%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if thinking is not defined -%}{%- set thinking = true -%}{%- endif -%}\n"
    "{%- if add_generation_prompt and ns.is_last_user -%}\n"
    "  {{- '" ASSISTANT "' + ('<think>' if thinking else '</think>') -}}\n"
    "{%- endif -%}\n";
