(** * Which units a line has entries for

    - [combined_keyed], [extended_keyed]: those of the lines that it is made of;
    - [value_keyed]: elsewhere it is 0.

    Rests on Lines.v and Stored.v. *)

From Coq Require Import Lia ZArith List Bool Uint63.
From Lastbit Require Import fast.Lines fast.LineSums fast.Stored.
Import ListNotations.
Open Scope Z_scope.

Section Keys.
Variable P : nat -> Prop.

(** All entries of a line are for units with [base]. *)
Fixpoint keyed (l : line) : Prop :=
  match l with Nil => True | Entry h _ l => P (Z.to_nat (plain h)) /\ keyed l end.

Lemma entry_keyed l g : keyed l -> entry_sum l g <> 0 -> P g.
Proof.
  induction l as [|h v l IH]; intros K; cbn [entry_sum keyed] in *; [easy|].
  destruct (Z.eqb_spec (Z.of_nat g) (plain h)) as [E|E].
  - intros _. destruct K as [K _]. rewrite <- E, Nat2Z.id in K. exact K.
  - intros N. now apply IH.
Qed.

Lemma value_keyed s g : keyed (s_line s) -> value s g <> 0 -> P g.
Proof. apply entry_keyed. Qed.

Lemma scaled_keyed c a : keyed a -> keyed (scaled c a).
Proof. induction a as [|h v a IH]; cbn [scaled keyed]; [easy|]. intuition. Qed.

Lemma added_keyed c a : forall b, keyed a -> keyed b -> keyed (added c a b).
Proof.
  induction a as [|g v a IH]; intros b Ka Kb; [exact Kb|]. destruct Ka as [Kg Ka].
  destruct b as [|h w b]; [now apply (scaled_keyed c (Entry g v a))|]. destruct Kb as [Kh Kb].
  cbn [added]. destruct (g =? h)%uint63; [split; [exact Kg|now apply IH]|].
  destruct (h <? g)%uint63; [split; [exact Kg|now apply IH]|]. split; [exact Kh|]. clear h w Kh.
  induction b as [|h w b IHb]; [now apply (scaled_keyed c (Entry g v a))|]. destruct Kb as [Kh Kb].
  destruct (g <? h)%uint63; [split; [exact Kh|now apply IHb]|].
  destruct (g =? h)%uint63; split; try exact Kg; now apply IH.
Qed.

Lemma rounded_keyed bias back e l : keyed l -> keyed (rounded bias back e l).
Proof.
  induction l as [|h v l IH]; cbn [rounded keyed]; [easy|]. intros [H K].
  destruct (v =? 0)%uint63; [now apply IH|]. split; [exact H|now apply IH].
Qed.

Theorem combined_keyed B e terms s : Forall (fun t => keyed (s_line (snd t))) terms ->
  combined B e terms = Some s ->
  keyed (s_line s).
Proof.
  intros F. unfold combined. destruct (_ && _); [|discriminate]. intros H. injection H as <-.
  unfold measured. rewrite measuring_line. apply rounded_keyed.
  induction F as [|t l Ht _ IH]; [easy|]. now apply added_keyed.
Qed.

Theorem extended_keyed B s g v s' : keyed (s_line s) -> P (Z.to_nat (plain g)) ->
  extended B s g v = Some s' ->
  keyed (s_line s').
Proof.
  intros K H. unfold extended. cbv zeta. destruct (_ && _); [|discriminate]. intros E.
  injection E as <-. destruct (g <? B)%uint63; now split.
Qed.
End Keys.

Lemma keyed_weaken (P Q : nat -> Prop) l : (forall g, P g -> Q g) -> keyed P l -> keyed Q l.
Proof. intros H. induction l as [|h v l IH]; cbn [keyed]; [easy|]. intuition. Qed.
