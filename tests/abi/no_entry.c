/* A shared module that is no plug-in. */
__attribute__((visibility("default"))) int nothing_of_interest(void);
int nothing_of_interest(void)
{
    return 7;
}
