(** * A walk is a sequence of steps

    - [details]: what one step has chosen and computed of its unit;
    - [taken]: a step whose numbers have passed their checks (WalkSteps.v); [history]: steps one
      after the other, between which lines may have been forgotten;
    - [walk_history]: a walk that is not refused is one.

    Rests on WalkSteps.v. *)

From Coq Require Import ZArith List Bool FMapPositive Uint63.
From Lastbit Require Import checker.Program fast.Walk fast.WalkSteps fast.Mixed.
From Lastbit Require fast.Backward.
Import ListNotations.
Open Scope Z_scope.

(** All that one step has chosen and computed. *)
Record details :=
  { d_op : cunit; d_base : bool; d_box : bool; d_columns : columns_type; d_missed : Z;
  d_bent : sparse;
  d_apart : sparse; d_early : sparse; d_cell : cell; d_seen : stored;
  d_visited : Backward.visited }.

(** The operations in a list of items. *)
Fixpoint units_of (l : list item) : list cunit :=
  match l with [] => [] | Unit o _ _ :: l' => o :: units_of l' | Forget :: l' => units_of l' end.

(** Only lines of bases made since are kept. *)
Definition forget (st : state) : state :=
  {| next := next st; known := known st; lines := fresh st; fresh := PositiveMap.empty stored |}.

(** Lines have been forgotten any number of times. *)
Inductive forgets : state -> state -> Prop :=
| forgets_none st : forgets st st
| forgets_more st st' : forgets (forget st) st' -> forgets st st'.

Section History.
Variables (ratio : Z) (boundary : int).

(** A step of unit [d_op d], whose numbers satisfy what [stepped] says. *)
Definition taken (st : state) (d : details) (st' : state) : Prop :=
  stepped ratio boundary st (d_op d) (d_base d) (d_box d) (d_columns d) (d_missed d) (d_bent d)
  (d_apart d) (d_early d)
    (d_cell d) /\
  leads_to boundary st (d_op d) (d_base d) (d_columns d) (d_apart d) (d_cell d) (d_seen d) st'
  (d_visited d).

(** Steps one after the other. *)
Inductive history : state -> list details -> state -> Prop :=
| history_end st st' : forgets st st' -> history st [] st'
| history_step st st1 d st2 l st' : forgets st st1 -> taken st1 d st2 -> history st2 l st' ->
    history st (d :: l) st'.

Lemma history_forget st l st' : history (forget st) l st' -> history st l st'.
Proof.
  intros H.
  inversion H; subst; [apply history_end|eapply history_step; try eassumption];
    now apply forgets_more.
Qed.

Theorem walk_history items : forall st seen st' seen', walk ratio boundary items st seen =
  Some (st', seen') ->
  exists l, history st l st' /\ map d_op l = units_of items /\
  seen' = (rev (map d_visited l) ++ seen)%list.
Proof.
  induction items as [|[o base box|] items IH]; intros st seen st' seen'; cbn [walk units_of].
  - intros H. apply some_pair in H. destruct H as [<- <-]. exists []. repeat split.
    apply history_end, forgets_none.
  - destruct (visit ratio boundary st o base box) as [[st1 v]|] eqn:E; [|discriminate]. intros H.
    destruct (visit_stepped _ _ _ _ _ _ _ _ E)
      as (columns & missed & bent & apart & early & c & line & S & L).
    destruct (IH _ _ _ _ H) as (l & Hl & Ho & Hs).
    exists ({| d_op := o; d_base := base; d_box := box; d_columns := columns; d_missed := missed;
      d_bent := bent;
      d_apart := apart; d_early := early; d_cell := c; d_seen := line; d_visited := v |} :: l).
    split; [|split].
    + apply history_step with st st1; [apply forgets_none|now split|exact Hl].
    + cbn [map d_op]. now rewrite Ho.
    + cbn [map rev d_visited]. rewrite <- app_assoc. exact Hs.
  - intros H. destruct (IH _ _ _ _ H) as (l & Hl & Ho & Hs). exists l.
    split; [now apply history_forget|now split].
Qed.
End History.
