#ifndef MK_CLI_MODELS_H
#define MK_CLI_MODELS_H
/* Where models are kept and where they come from, by the environment. */

/* $XDG_DATA_HOME/minke/models; ends the program without a home.  free() it. */
char *mk_cli_models(void);
/* $HF_ENDPOINT, or the hub's own, without a slash at the end.  free() it. */
char *mk_cli_endpoint(void);
#endif
